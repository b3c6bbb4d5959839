"""What verified evidence says of an enclave, and what each step of the verification found."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from pydantic import BaseModel, ConfigDict

from blindai_async.attestation.dcap.tcb import TcbStatus

__all__ = ["STEPS", "DcapClaims", "Outcome", "StepReport"]

DEBUG_FLAG: Final = 0x2

STEPS: Final = (
    "Quote",
    "Root of trust",
    "PCK certificate chain",
    "Revocation lists",
    "TCB info",
    "QE identity",
    "QE report signature",
    "QE report against the QE identity",
    "Enclave report signature",
    "Platform TCB level",
    "TCB status",
    "Enclave held data",
)
"""The names of the twelve steps, in order; step 1 is the first."""

_NEVER_VALID_FROM: Final = datetime.max.replace(tzinfo=UTC)
_NEVER_VALID_UNTIL: Final = datetime.min.replace(tzinfo=UTC)


class Outcome(StrEnum):
    """How a step of the verification ended."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_REACHED = "not reached"


@dataclass(frozen=True, slots=True)
class StepReport:
    """The outcome of one step.

    Attributes:
        number: 1 to 12.
        name: what the step looks at.
        outcome: whether it passed.
        detail: what it found, in words; "" where it was not reached.
    """

    number: int
    name: str
    outcome: Outcome
    detail: str = ""


class DcapClaims(BaseModel):
    """What the evidence of one enclave says.

    Only claims that `verify_dcap_attestation` *returned* are proven (`verified` is True). Those
    that an error carries hold what was read until then, for a report: of a forged quote, they are
    the forger's words. Fields that were not reached have values that nothing accepts.

    Attributes:
        mr_enclave: the measurement of the enclave's code, 32 bytes.
        mr_signer: the digest of the key that signed the enclave, 32 bytes.
        isv_prod_id: the signer's product number.
        isv_svn: the signer's security version of the product.
        attributes: the enclave's ATTRIBUTES, 16 bytes: flags and XFRM, little-endian.
        misc_select: the enclave's MISCSELECT.
        debug: whether the enclave runs in debug mode, in which its host reads its memory.
        report_data: the 64 bytes that the enclave put into its report.
        enclave_held_data: what the first half of `report_data` is the digest of: the enclave's
            TLS certificate, DER.
        fmspc: the platform's family, model, stepping and so on, 6 bytes.
        tcb_status: the platform's status merged with its quoting enclave's. Never `REVOKED` in
            claims that were returned; whether it is acceptable is the policy's business.
        tcb_date: the date of the platform's patch level.
        advisory_ids: Intel's security advisories that apply, sorted.
        trust_root: the name of the root of trust that the evidence was judged under.
        valid_from: before this time, some part of the evidence was not valid yet.
        valid_until: after this time, some part of the evidence has expired.
        steps: the outcome of each of the twelve steps.
    """

    model_config = ConfigDict(
        defer_build=True, frozen=True, extra="forbid", ser_json_bytes="hex", val_json_bytes="hex"
    )

    mr_enclave: bytes
    mr_signer: bytes
    isv_prod_id: int
    isv_svn: int
    attributes: bytes
    misc_select: int
    debug: bool
    report_data: bytes
    enclave_held_data: bytes
    fmspc: bytes = b""
    tcb_status: TcbStatus = TcbStatus.UNKNOWN
    tcb_date: datetime = _NEVER_VALID_UNTIL
    advisory_ids: tuple[str, ...] = ()
    trust_root: str
    valid_from: datetime = _NEVER_VALID_FROM
    valid_until: datetime = _NEVER_VALID_UNTIL
    steps: tuple[StepReport, ...]

    @property
    def verified(self) -> bool:
        """Whether every step passed, that is, whether the claims are proven."""
        return len(self.steps) == len(STEPS) and all(
            step.outcome is Outcome.PASSED for step in self.steps
        )

    @property
    def attributes_flags(self) -> int:
        """The first half of `attributes`: bit 0 is INIT, bit 1 DEBUG."""
        return int.from_bytes(self.attributes[:8], "little")

    @property
    def attributes_xfrm(self) -> int:
        """The second half of `attributes`: which processor state the enclave may use."""
        return int.from_bytes(self.attributes[8:], "little")
