"""TCB statuses: what Intel says of a platform's patch level, and how two of them are merged."""

from __future__ import annotations

from enum import Flag, StrEnum, auto
from functools import cache
from operator import ge
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

from blindai_async.attestation.parsing import EvidenceError, excerpt

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
_BY_TEXT: Final = {status.value: status for status in TcbStatus if status != TcbStatus.UNKNOWN}


@cache
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
    status = _BY_TEXT.get(text) if isinstance(text, str) else None
    if status is None:
        raise EvidenceError(f"there is no TCB status {excerpt(text)}")
    return status


class PlatformTcb(NamedTuple):
    """The security versions of a platform: its PCK certificate's, or a level's least ones.

    Attributes:
        components: 16 versions of 8 bits, one byte each.
        pce_svn: the version of the provisioning enclave.
    """

    components: bytes
    pce_svn: int

    def reaches(self, level: PlatformTcb) -> bool:
        """Tell whether every one of these versions is at least the level's."""
        return self.pce_svn >= level.pce_svn and all(map(ge, self.components, level.components))


class PlatformTcbLevel(NamedTuple):
    """One level of the TCB info: from these versions on, the platform has this status."""

    tcb: PlatformTcb
    status: TcbStatus
    date: datetime
    advisory_ids: tuple[str, ...]


class QeTcbLevel(NamedTuple):
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
