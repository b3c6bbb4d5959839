"""Verification of SGX and TDX evidence: pure functions of bytes, a root of trust and a time.

Nothing here does I/O beyond reading a file that the caller names, and nothing knows of gRPC: what
is judged, is handed in. Data flows one way: bytes -> parsed -> verified -> used.

`verify_dcap_attestation` proves what an enclave or trust domain is; `verify_claims` judges whether
it is the one that a `Policy` demands; `AttestationCache` remembers what was proven;
`EvidenceVerifier` holds root and cache, and does it all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from blindai_async.attestation.appraisal import verify_claims
from blindai_async.attestation.binding import Binding
from blindai_async.attestation.cache import SHARED_CACHE, AttestationCache, CacheStats
from blindai_async.attestation.claims import (
    IDENTIFIES_MACHINE,
    Claims,
    DcapClaims,
    Outcome,
    Platform,
    PolicyMatch,
    SgxClaims,
    SgxType,
    StepPart,
    StepReport,
    TdxClaims,
)
from blindai_async.attestation.enclave_certificate import enclave_signing_key
from blindai_async.attestation.evidence import SgxCollateral, SgxEvidence
from blindai_async.attestation.policy import AnyOfPolicy, Policy, PolicyEntry
from blindai_async.attestation.sgx_policy import BUILT_IN_POLICY, SgxPolicy
from blindai_async.attestation.tcb_status import TcbStatus
from blindai_async.attestation.tdx_policy import TdxPolicy
from blindai_async.attestation.tee import Tee
from blindai_async.attestation.verifier import EvidenceVerifier
from blindai_async.attestation.x509.trust_root import INTEL_SGX_ROOT, TrustRoot

if TYPE_CHECKING:
    from blindai_async.attestation.dcap.steps import verify_dcap_attestation

__all__ = [
    "BUILT_IN_POLICY",
    "IDENTIFIES_MACHINE",
    "INTEL_SGX_ROOT",
    "SHARED_CACHE",
    "AnyOfPolicy",
    "AttestationCache",
    "Binding",
    "CacheStats",
    "Claims",
    "DcapClaims",
    "EvidenceVerifier",
    "Outcome",
    "Platform",
    "Policy",
    "PolicyEntry",
    "PolicyMatch",
    "SgxClaims",
    "SgxCollateral",
    "SgxEvidence",
    "SgxPolicy",
    "SgxType",
    "StepPart",
    "StepReport",
    "TcbStatus",
    "TdxClaims",
    "TdxPolicy",
    "Tee",
    "TrustRoot",
    "enclave_signing_key",
    "verify_claims",
    "verify_dcap_attestation",
]


if not TYPE_CHECKING:  # a checker is to see misspelt names

    def __getattr__(name: str) -> Any:
        # The steps themselves, and with them X.509, are read at the first verification: they are a
        # fifth of what importing the client takes, and a handshake verifies in a worker thread.
        if name == "verify_dcap_attestation":
            from blindai_async.attestation.dcap.steps import verify_dcap_attestation  # noqa: PLC0415

            return verify_dcap_attestation
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
