"""TCB statuses: what Intel says of a platform's patch level, and how several of them are merged."""

from __future__ import annotations

from enum import Flag, StrEnum, auto
from functools import cache
from types import MappingProxyType
from typing import Final

from blindai_async.attestation.parsing import EvidenceError, excerpt

__all__ = [
    "TcbStatus",
    "merge_statuses",
    "parse_component_status",
    "parse_platform_status",
    "relaunch_status",
]


class TcbStatus(StrEnum):
    """The status of a platform's trusted computing base, spelled as in Intel's collateral."""

    UP_TO_DATE = "UpToDate"
    SW_HARDENING_NEEDED = "SWHardeningNeeded"
    CONFIGURATION_NEEDED = "ConfigurationNeeded"
    CONFIGURATION_AND_SW_HARDENING_NEEDED = "ConfigurationAndSWHardeningNeeded"
    OUT_OF_DATE = "OutOfDate"
    OUT_OF_DATE_CONFIGURATION_NEEDED = "OutOfDateConfigurationNeeded"
    TD_RELAUNCH_ADVISED = "TDRelaunchAdvised"
    """The TDX module was updated after the TD was launched; only a new launch profits from it."""
    TD_RELAUNCH_ADVISED_CONFIGURATION_NEEDED = "TDRelaunchAdvisedConfigurationNeeded"
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
    }
)
_COMPONENT_STATUSES: Final = {
    status.value: status
    for status in (TcbStatus.UP_TO_DATE, TcbStatus.OUT_OF_DATE, TcbStatus.REVOKED)
}
_PLATFORM_STATUSES: Final = {status.value: status for status in _DEFICITS}


@cache
def merge_statuses(platform: TcbStatus, component: TcbStatus) -> TcbStatus:
    """Merge a platform's status with one of its components': what is wrong with either is wrong.

    A component is the quoting enclave or the TDX module. The result is never better than one of
    the two: a missing patch outweighs missing hardening, revocation outweighs everything (Intel's
    quote verification library, EvaluateTcb, 4.1.2.5.1.3 and 4.1.2.5.2.4).
    """
    wrong = _DEFICITS[platform] | _DEFICITS[component]
    if _Deficit.REVOKED in wrong:
        return TcbStatus.REVOKED
    if _Deficit.PATCHES in wrong:
        wrong &= ~_Deficit.HARDENING
    return next(status for status, deficits in _DEFICITS.items() if deficits == wrong)


def relaunch_status(launched: TcbStatus, loaded: TcbStatus) -> TcbStatus:
    """Judge a TD that was launched at one patch level of the TDX module and runs at another.

    Args:
        launched: the status of what the TD was launched with.
        loaded: the status of what is loaded now.

    Returns:
        `REVOKED` where either is; `TD_RELAUNCH_ADVISED` (or the one that also names configuration)
        where a launch now would not be out of date; else `launched` (Intel's quote verification
        library, TDRelaunchCheck, which does not look for a revoked `loaded`).
    """
    # Stops a host that loads a revoked TDX module under a TD that was launched before: the module
    # that runs now reads the TD's memory, whatever the TD was launched with.
    if _Deficit.REVOKED in _DEFICITS[launched] | _DEFICITS[loaded]:
        return TcbStatus.REVOKED
    if not _Deficit.PATCHES & _DEFICITS[launched]:
        return launched
    if _Deficit.PATCHES & _DEFICITS[loaded]:
        return launched
    if _Deficit.CONFIGURATION & (_DEFICITS[launched] | _DEFICITS[loaded]):
        return TcbStatus.TD_RELAUNCH_ADVISED_CONFIGURATION_NEEDED
    return TcbStatus.TD_RELAUNCH_ADVISED


def parse_platform_status(text: object) -> TcbStatus:
    """Read a platform's status as the TCB info spells it.

    Raises:
        EvidenceError: no platform has such a status.
    """
    return _known(text, _PLATFORM_STATUSES)


def parse_component_status(text: object) -> TcbStatus:
    """Read the status of a quoting enclave or TDX module: only three of them exist.

    Raises:
        EvidenceError: it is none of the three.
    """
    return _known(text, _COMPONENT_STATUSES)


def _known(text: object, statuses: dict[str, TcbStatus]) -> TcbStatus:
    status = statuses.get(text) if isinstance(text, str) else None
    if status is None:
        raise EvidenceError(f"there is no TCB status {excerpt(text)} here")
    return status
