"""Verification of SGX evidence: pure functions of bytes, a root of trust and a time.

Nothing here does I/O, reads a clock of its own, or knows of gRPC: what it judges, it is handed.
Data flows one way: bytes -> parsed -> verified -> used.
"""

from __future__ import annotations

from blindai_async.attestation.claims import DcapClaims, Outcome, StepReport
from blindai_async.attestation.enclave_certificate import enclave_signing_key
from blindai_async.attestation.evidence import SgxCollateral, SgxEvidence
from blindai_async.attestation.policy import BUILT_IN_POLICY, Policy
from blindai_async.attestation.tcb import TcbStatus
from blindai_async.attestation.trust_root import INTEL_SGX_ROOT, TrustRoot

__all__ = [
    "BUILT_IN_POLICY",
    "INTEL_SGX_ROOT",
    "DcapClaims",
    "Outcome",
    "Policy",
    "SgxCollateral",
    "SgxEvidence",
    "StepReport",
    "TcbStatus",
    "TrustRoot",
    "enclave_signing_key",
]
