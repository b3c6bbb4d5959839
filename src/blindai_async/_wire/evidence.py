"""Evidence between the message that carries it and the value that is verified."""

from __future__ import annotations

from typing import Any

from blindai_async._pb import untrusted_pb2
from blindai_async.attestation import SgxCollateral, SgxEvidence

_COLLATERAL_FIELDS = tuple(untrusted_pb2.SgxCollateral.DESCRIPTOR.fields_by_name)


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
