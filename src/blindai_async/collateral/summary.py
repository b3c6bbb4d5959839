"""What each part of collateral says of itself: who has signed it, and how long it counts."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from blindai_async.attestation.parsing import EvidenceError
from blindai_async.collateral.parts import (
    PartReader,
    read_pck_certificate,
    read_pck_crl,
    read_qe_identity,
    read_root_crl,
    read_tcb_info,
)
from blindai_async.errors import CollateralError

if TYPE_CHECKING:
    from blindai_async.attestation import SgxCollateral

__all__ = ["PartSummary", "summarize"]


@dataclass(frozen=True, slots=True)
class PartSummary:
    """What one part of collateral says of itself, unproven.

    Attributes:
        part: which one: "TCB info", "QE identity", "PCK CRL", "root CRL", "PCK certificate".
        issuer: the common name of who has signed it.
        valid_from: when it was issued, ISO 8601 in UTC.
        valid_until: when it counts no longer, ISO 8601 in UTC.
        evaluation_number: ``tcbEvaluationDataNumber``, or None.
    """

    part: str
    issuer: str
    valid_from: str
    valid_until: str
    evaluation_number: int | None

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return asdict(self)


def summarize(collateral: SgxCollateral) -> list[PartSummary]:
    """Read what each part says of itself, and check that its issuer has signed it.

    Raises:
        CollateralError: a part is malformed, or not signed by the issuer beside it.
    """
    parts: list[tuple[str, PartReader, str, str]] = [
        (
            "the TCB info",
            partial(read_tcb_info, tee=None, fmspc=None),
            collateral.tcb_info,
            collateral.tcb_info_issuer_chain,
        ),
        (
            "the QE identity",
            partial(read_qe_identity, tee=None),
            collateral.qe_identity,
            collateral.qe_identity_issuer_chain,
        ),
        (
            "the PCK revocation list",
            read_pck_crl,
            collateral.pck_crl,
            collateral.pck_crl_issuer_chain,
        ),
        ("the root's revocation list", read_root_crl, collateral.root_ca_crl, ""),
    ]
    if collateral.pck_certificate:
        chain = collateral.pck_signing_chain
        certificate = collateral.pck_certificate
        parts.append(("the PCK certificate", read_pck_certificate, certificate, chain))
    return [_summary(*part) for part in parts]


def _summary(what: str, read: PartReader, text: str, chain: str) -> PartSummary:
    try:
        part = read(text.encode("utf-8", "surrogatepass"), chain)
    except EvidenceError as error:
        raise CollateralError(f"collateral: {what} does not hold: {error}") from error
    return PartSummary(
        part.kind,
        part.issuer,
        part.valid_from.isoformat(),
        part.valid_until.isoformat(),
        part.evaluation_number,
    )
