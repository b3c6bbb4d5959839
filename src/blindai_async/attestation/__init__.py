"""Verification of SGX evidence: pure functions of bytes, a root of trust and a time.

Nothing here does I/O beyond reading a file that the caller names, and nothing knows of gRPC: what
is judged, is handed in. Data flows one way: bytes -> parsed -> verified -> used.

`verify_dcap_attestation` proves what an enclave is; `verify_claims` judges whether it is the one
that a `Policy` demands; `AttestationCache` remembers what was proven.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from blindai_async.attestation.appraisal import verify_claims
from blindai_async.attestation.cache import SHARED_CACHE, AttestationCache, CacheStats
from blindai_async.attestation.claims import DcapClaims, Outcome, StepReport
from blindai_async.attestation.dcap.tcb import TcbStatus
from blindai_async.attestation.enclave_certificate import enclave_signing_key
from blindai_async.attestation.evidence import SgxCollateral, SgxEvidence
from blindai_async.attestation.policy import BUILT_IN_POLICY, Policy
from blindai_async.attestation.x509.trust_root import INTEL_SGX_ROOT, TrustRoot

if TYPE_CHECKING:
    from blindai_async.attestation.dcap.steps import verify_dcap_attestation

__all__ = [
    "BUILT_IN_POLICY",
    "INTEL_SGX_ROOT",
    "SHARED_CACHE",
    "AttestationCache",
    "CacheStats",
    "DcapClaims",
    "Outcome",
    "Policy",
    "SgxCollateral",
    "SgxEvidence",
    "StepReport",
    "TcbStatus",
    "TrustRoot",
    "enclave_signing_key",
    "verify_claims",
    "verify_dcap_attestation",
]


def __getattr__(name: str) -> Any:
    # The steps themselves, and with them X.509, are read at the first verification: they are a
    # fifth of what importing the client takes, and a handshake verifies in a worker thread.
    if name == "verify_dcap_attestation":
        from blindai_async.attestation.dcap.steps import verify_dcap_attestation  # noqa: PLC0415

        return verify_dcap_attestation
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
