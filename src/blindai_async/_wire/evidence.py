"""Evidence on its way from the message that carries it to a verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from blindai_async import attestation
from blindai_async._pb import untrusted_pb2
from blindai_async.attestation import (
    INTEL_SGX_ROOT,
    DcapClaims,
    Policy,
    SgxCollateral,
    SgxEvidence,
    TrustRoot,
    verify_claims,
)
from blindai_async.errors import QuoteValidationError

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["Verifier", "evidence_from_message", "evidence_to_message", "verify_evidence"]

_COLLATERAL_FIELDS = tuple(untrusted_pb2.SgxCollateral.DESCRIPTOR.fields_by_name)


class Verifier(Protocol):
    """`verify_dcap_attestation`, or a cache that answers in its place."""

    def __call__(
        self,
        quote: bytes,
        collateral: SgxCollateral,
        enclave_held_data: bytes,
        *,
        trust_root: TrustRoot = INTEL_SGX_ROOT,
        at: datetime | None = None,
    ) -> DcapClaims:
        """Verify the evidence; see `verify_dcap_attestation`."""
        ...


def verify_evidence(
    evidence: SgxEvidence,
    policy: Policy,
    *,
    trust_root: TrustRoot = INTEL_SGX_ROOT,
    at: datetime | None = None,
    verify: Verifier | None = None,
) -> DcapClaims:
    """Verify an enclave's evidence and hold what it proves against a policy.

    Args:
        evidence: quote, collateral and enclave held data.
        policy: what the enclave has to be.
        trust_root: where the evidence has to lead.
        at: the time to judge at; now by default.
        verify: a cache in front of `verify_dcap_attestation`; the function itself where None.

    Raises:
        AttestationError: the evidence does not hold, or the policy refuses it.
    """
    if evidence.collateral is None:
        raise QuoteValidationError(
            "the evidence came without collateral; a quote alone proves nothing"
        )
    if verify is None:
        verify = attestation.verify_dcap_attestation
    claims = verify(
        evidence.quote,
        evidence.collateral,
        evidence.enclave_held_data,
        trust_root=trust_root,
        at=at,
    )
    verify_claims(claims, policy)
    return claims


def evidence_from_message(message: untrusted_pb2.GetSgxQuoteWithCollateralReply) -> SgxEvidence:
    """Take the evidence out of the message that carries it."""
    collateral = None
    if message.HasField("collateral"):
        collateral = SgxCollateral(**_fields(message.collateral))
    return SgxEvidence(
        quote=message.quote,
        collateral=collateral,
        enclave_held_data=message.enclave_held_data,
        nonce=message.nonce,
    )


def evidence_to_message(evidence: SgxEvidence) -> untrusted_pb2.GetSgxQuoteWithCollateralReply:
    """Put evidence into the message that carries it, in a proof file or on the wire."""
    collateral = None
    if evidence.collateral is not None:
        collateral = untrusted_pb2.SgxCollateral(**_fields(evidence.collateral))
    return untrusted_pb2.GetSgxQuoteWithCollateralReply(
        quote=evidence.quote,
        collateral=collateral,
        enclave_held_data=evidence.enclave_held_data,
        nonce=evidence.nonce,
    )


def _fields(collateral: SgxCollateral | untrusted_pb2.SgxCollateral) -> dict[str, Any]:
    return {name: getattr(collateral, name) for name in _COLLATERAL_FIELDS}
