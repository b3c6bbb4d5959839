"""TCB statuses: what Intel says of a platform's patch level, and how two of them are merged."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Flag, StrEnum, auto
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from blindai_async.attestation.formats import EvidenceError, excerpt

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

__all__ = [
    "COMPONENTS",
    "PlatformTcb",
    "PlatformTcbLevel",
    "QeTcbLevel",
    "TcbStatus",
    "matching_platform_level",
    "matching_qe_level",
    "merge_statuses",
    "parse_status",
]

COMPONENTS: Final = 16
"""How many security versions make up a platform's TCB, beside the PCE's."""


class TcbStatus(StrEnum):
    """The status of a platform's trusted computing base, spelled as in Intel's collateral."""

    UP_TO_DATE = "UpToDate"
    SW_HARDENING_NEEDED = "SWHardeningNeeded"
    CONFIGURATION_NEEDED = "ConfigurationNeeded"
    CONFIGURATION_AND_SW_HARDENING_NEEDED = "ConfigurationAndSWHardeningNeeded"
    OUT_OF_DATE = "OutOfDate"
    OUT_OF_DATE_CONFIGURATION_NEEDED = "OutOfDateConfigurationNeeded"
    REVOKED = "Revoked"
    UNKNOWN = "Unknown"
    """Not established, since the verification ended before step 11. No policy can accept it."""


class _Deficit(Flag):
    """What a status says is wrong with the platform."""

    NONE = 0
    HARDENING = auto()
    CONFIGURATION = auto()
    PATCHES = auto()
    REVOKED = auto()
    UNKNOWN = auto()


_DEFICITS: Final = MappingProxyType(
    {
        TcbStatus.UP_TO_DATE: _Deficit.NONE,
        TcbStatus.SW_HARDENING_NEEDED: _Deficit.HARDENING,
        TcbStatus.CONFIGURATION_NEEDED: _Deficit.CONFIGURATION,
        TcbStatus.CONFIGURATION_AND_SW_HARDENING_NEEDED: _Deficit.CONFIGURATION
        | _Deficit.HARDENING,
        TcbStatus.OUT_OF_DATE: _Deficit.PATCHES,
        TcbStatus.OUT_OF_DATE_CONFIGURATION_NEEDED: _Deficit.PATCHES | _Deficit.CONFIGURATION,
        TcbStatus.REVOKED: _Deficit.REVOKED,
        TcbStatus.UNKNOWN: _Deficit.UNKNOWN,
    }
)


def merge_statuses(platform: TcbStatus, quoting_enclave: TcbStatus) -> TcbStatus:
    """Merge the platform's status with its quoting enclave's: what is wrong with either is wrong.

    The result is never better than one of the two (sgx-dcap.md, step 11). A missing patch
    outweighs missing hardening; revocation outweighs everything.
    """
    wrong = _DEFICITS[platform] | _DEFICITS[quoting_enclave]
    if _Deficit.REVOKED in wrong:
        return TcbStatus.REVOKED
    if _Deficit.UNKNOWN in wrong:
        return TcbStatus.UNKNOWN
    if _Deficit.PATCHES in wrong:
        wrong &= ~_Deficit.HARDENING
    return next(status for status, deficits in _DEFICITS.items() if deficits == wrong)


def parse_status(text: object) -> TcbStatus:
    """Read a status as the collateral spells it.

    Raises:
        EvidenceError: Intel has no such status for SGX.
    """
    for status in TcbStatus:
        if text == status.value and status is not TcbStatus.UNKNOWN:
            return status
    raise EvidenceError(f"there is no TCB status {excerpt(text)}")


@dataclass(frozen=True, slots=True)
class PlatformTcb:
    """The security versions of a platform: its PCK certificate's, or a level's least ones."""

    components: tuple[int, ...]
    pce_svn: int

    def reaches(self, level: PlatformTcb) -> bool:
        """Tell whether every one of these versions is at least the level's."""
        return self.pce_svn >= level.pce_svn and all(
            own >= least for own, least in zip(self.components, level.components, strict=True)
        )


@dataclass(frozen=True, slots=True)
class PlatformTcbLevel:
    """One level of the TCB info: from these versions on, the platform has this status."""

    tcb: PlatformTcb
    status: TcbStatus
    date: datetime
    advisory_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class QeTcbLevel:
    """One level of the QE identity: from this version on, the quoting enclave has this status."""

    isv_svn: int
    status: TcbStatus
    date: datetime
    advisory_ids: tuple[str, ...]


def matching_platform_level(
    levels: Sequence[PlatformTcbLevel], tcb: PlatformTcb
) -> PlatformTcbLevel | None:
    """Find the first level that the platform reaches; levels stand from highest to lowest."""
    return next((level for level in levels if tcb.reaches(level.tcb)), None)


def matching_qe_level(levels: Sequence[QeTcbLevel], isv_svn: int) -> QeTcbLevel | None:
    """Find the first level that the quoting enclave reaches; from highest to lowest."""
    return next((level for level in levels if isv_svn >= level.isv_svn), None)
