"""What verified evidence says of an enclave or trust domain, and what each step found."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING, ClassVar, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from blindai_async.attestation.tcb_status import TcbStatus
from blindai_async.attestation.tee import Tee

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "IDENTIFIES_MACHINE",
    "STEPS",
    "Claims",
    "DcapClaims",
    "Outcome",
    "Platform",
    "PolicyMatch",
    "SgxClaims",
    "SgxType",
    "StepPart",
    "StepReport",
    "TdxClaims",
]

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

IDENTIFIES_MACHINE: Final[Mapping[str, bool | set[str]]] = {
    "ppid": True,
    "platform": {"instance_id"},
}
"""What identifies one machine, to be left out of whatever is published (`model_dump(exclude=)`)."""

_NEVER_VALID_FROM: Final = datetime.max.replace(tzinfo=UTC)
_NEVER_VALID_UNTIL: Final = datetime.min.replace(tzinfo=UTC)


class Outcome(StrEnum):
    """How a step of the verification ended."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_REACHED = "not reached"


@dataclass(frozen=True, slots=True)
class StepPart:
    """What one part of a step found: of TDX, "TDX module" (step 10) and "TDX relaunch" (step 11).

    Attributes:
        name: what the part looks at.
        detail: what it found, in words.
    """

    name: str
    detail: str


@dataclass(frozen=True, slots=True)
class StepReport:
    """The outcome of one step.

    Attributes:
        number: 1 to 12.
        name: what the step looks at.
        outcome: whether it passed.
        detail: what it found, in words; "" where it was not reached.
        parts: what its parts found, where it has any.
    """

    number: int
    name: str
    outcome: Outcome
    detail: str = ""
    parts: tuple[StepPart, ...] = ()


class SgxType(IntEnum):
    """How the platform protects its memory, as its PCK certificate says."""

    STANDARD = 0
    SCALABLE = 1
    SCALABLE_WITH_INTEGRITY = 2


@dataclass(frozen=True, slots=True)
class PolicyMatch:
    """Which entry of `Policy.any_of` has accepted the claims.

    Attributes:
        index: its place among the entries, from 0.
        name: its own name, "" where it has none.
    """

    index: int
    name: str = ""


class Platform(BaseModel):
    """What Intel certifies of the machine (its PCK certificate's SGX extension).

    Attributes:
        sgx_type: how its memory is protected.
        components: its 16 security versions, one byte each.
        pce_svn: the security version of its provisioning enclave.
        dynamic: whether processor packages may be added; None where Intel does not say: only
            platforms of several packages have it, as all that follows.
        cached_keys: whether Intel keeps the platform's keys.
        smt: whether simultaneous multithreading is on.
        instance_id: which machine this is, 16 bytes: never in a repr.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(
        defer_build=True, frozen=True, extra="forbid", ser_json_bytes="hex", val_json_bytes="hex"
    )

    sgx_type: SgxType
    components: bytes
    pce_svn: int
    dynamic: bool | None = None
    cached_keys: bool | None = None
    smt: bool | None = None
    instance_id: bytes | None = Field(default=None, repr=False)


class Claims(BaseModel):
    """What the evidence of one enclave or trust domain says: what both kinds have in common.

    Only claims that `verify_dcap_attestation` *returned* are proven (`verified` is True). Those
    that an error carries hold what was read until then, for a report: of a forged quote, they are
    the forger's words. Fields that were not reached have values that nothing accepts.

    Attributes:
        tee: the kind: "sgx" or "tdx".
        debug: whether it runs in debug mode, in which its host reads its memory.
        report_data: the 64 bytes that it put into its report.
        enclave_held_data: what `report_data` binds: the enclave's TLS certificate, DER.
        fresh: whether the quote was made for the nonce that the verifier had sent:
            ``report_data[32:64]`` is its SHA-256. False where no nonce was sent.
        fmspc: the platform's family, model, stepping and so on, 6 bytes.
        ppid: which processor package this is, 16 bytes. It identifies one machine: it is in no
            repr and no error text; `IDENTIFIES_MACHINE` helps to keep it out of what you write.
        platform: what else Intel certifies of the machine; None where step 3 was not passed.
        tcb_status: the platform's status merged with its quoting enclave's and TDX module's. Never
            `REVOKED` in claims that were returned; whether it is acceptable is the policy's
            business.
        tcb_date: the earliest date of the levels that the platform, its quoting enclave and its
            TDX module reach.
        advisory_ids: Intel's security advisories that apply, sorted.
        tcb_evaluation_data_number: which of Intel's evaluations judged the platform: the lower one
            of the TCB info's and the QE identity's; -1 where it was not read.
        trust_root: the name of the root of trust that the evidence was judged under.
        valid_from: before this time, some part of the evidence was not valid yet.
        valid_until: after this time, some part of the evidence has expired.
        matched: which entry of `Policy.any_of` has accepted the claims; None where they were held
            against no policy, or against one that is not made of several.
        steps: the outcome of each of the twelve steps.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(
        defer_build=True, frozen=True, extra="forbid", ser_json_bytes="hex", val_json_bytes="hex"
    )

    tee: Tee
    debug: bool = True
    report_data: bytes = b""
    enclave_held_data: bytes
    fresh: bool = False
    fmspc: bytes = b""
    ppid: bytes = Field(default=b"", repr=False)
    platform: Platform | None = None
    tcb_status: TcbStatus = TcbStatus.UNKNOWN
    tcb_date: datetime = _NEVER_VALID_UNTIL
    advisory_ids: tuple[str, ...] = ()
    tcb_evaluation_data_number: int = -1
    trust_root: str
    valid_from: datetime = _NEVER_VALID_FROM
    valid_until: datetime = _NEVER_VALID_UNTIL
    matched: PolicyMatch | None = None
    steps: tuple[StepReport, ...]

    @property
    def verified(self) -> bool:
        """Whether every step passed, that is, whether the claims are proven."""
        return len(self.steps) == len(STEPS) and all(
            step.outcome is Outcome.PASSED for step in self.steps
        )


class SgxClaims(Claims):
    """What the evidence of one SGX enclave says.

    Attributes:
        mr_enclave: the measurement of the enclave's code, 32 bytes.
        mr_signer: the digest of the key that signed the enclave, 32 bytes.
        isv_prod_id: the signer's product number.
        isv_svn: the signer's security version of the product.
        attributes: the enclave's ATTRIBUTES, 16 bytes: flags and XFRM, little-endian.
        misc_select: the enclave's MISCSELECT.
    """

    tee: Literal["sgx"] = "sgx"
    mr_enclave: bytes = b""
    mr_signer: bytes = b""
    isv_prod_id: int = -1
    isv_svn: int = -1
    attributes: bytes = b""
    misc_select: int = -1

    @property
    def attributes_flags(self) -> int:
        """The first half of `attributes`: bit 0 is INIT, bit 1 DEBUG."""
        return int.from_bytes(self.attributes[:8], "little")

    @property
    def attributes_xfrm(self) -> int:
        """The second half of `attributes`: which processor state the enclave may use."""
        return int.from_bytes(self.attributes[8:], "little")


class TdxClaims(Claims):
    """What the evidence of one TDX trust domain (TD) says; measurements are SHA-384 digests.

    Attributes:
        mr_td: the measurement of the TD's initial contents, usually its firmware, 48 bytes.
        rtmrs: the four registers that the TD extends while it starts, 48 bytes each. What they
            cover is the TD's choice; usually: 0 the firmware's configuration, 1 boot loader and
            kernel, 2 command line and initial file system, 3 what the application decides.
        mr_seam: the measurement of the TDX module, 48 bytes.
        mr_signer_seam: the digest of the key that signed the module; zero for Intel's own.
        seam_attributes: the module's attributes, 8 bytes.
        td_attributes: the TD's attributes, 8 bytes, little-endian: bit 0 DEBUG,
            28 SEPT_VE_DISABLE, 29 MIGRATABLE, 30 PKS, 31 KL, 63 PERFMON.
        xfam: which processor state the TD may use, 8 bytes, little-endian.
        mr_config_id: of the owner's choice, 48 bytes.
        mr_owner: the owner, 48 bytes.
        mr_owner_config: of the owner's choice, 48 bytes.
        tee_tcb_svn: 16 security versions at the TD's launch, one byte each.
        tee_tcb_svn2: those that are loaded now; None where the TDX module is of version 1.0.
        mr_service_td: the measurement of the service TD that is bound to it, zero where none is;
            None where the TDX module is of version 1.0.
    """

    tee: Literal["tdx"] = "tdx"
    mr_td: bytes = b""
    rtmrs: tuple[bytes, ...] = ()
    mr_seam: bytes = b""
    mr_signer_seam: bytes = b""
    seam_attributes: bytes = b""
    td_attributes: bytes = b""
    xfam: bytes = b""
    mr_config_id: bytes = b""
    mr_owner: bytes = b""
    mr_owner_config: bytes = b""
    tee_tcb_svn: bytes = b""
    tee_tcb_svn2: bytes | None = None
    mr_service_td: bytes | None = None


DcapClaims = SgxClaims
"""The name that `SgxClaims` had while SGX was the only kind."""
