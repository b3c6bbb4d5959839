"""TCB levels: from the security versions that a platform reports to the level that it reaches."""

from __future__ import annotations

from operator import ge
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from blindai_async.attestation.tcb_status import TcbStatus

__all__ = [
    "COMPONENTS",
    "IsvSvnLevel",
    "PlatformTcb",
    "PlatformTcbLevel",
    "matching_isv_svn_level",
    "matching_platform_level",
    "tdx_module_version",
]

COMPONENTS: Final = 16
"""How many security versions make up a platform's TCB, beside the PCE's."""

_TDX_MODULE_SVNS: Final = 2
"""The first of a TD's 16 versions are the TDX module's SVN and version, where that is not 0."""


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
    """One level of the TCB info: from these versions on, the platform has this status.

    Attributes:
        tcb: the least versions of the platform.
        tdx_components: the least 16 versions of TDX; b"" in the TCB info of an SGX platform.
        status: of platforms that reach this level, and no higher one.
        date: of the level.
        advisory_ids: the advisories that apply to it.
    """

    tcb: PlatformTcb
    tdx_components: bytes
    status: TcbStatus
    date: datetime
    advisory_ids: tuple[str, ...]


class IsvSvnLevel(NamedTuple):
    """One level of a quoting enclave or TDX module: from this version on, it has this status."""

    isv_svn: int
    status: TcbStatus
    date: datetime
    advisory_ids: tuple[str, ...]


def tdx_module_version(tee_tcb_svn: bytes) -> int:
    """Read the version of the TDX module out of a TD's security versions; 0 for the first one."""
    return tee_tcb_svn[1]


def matching_platform_level(
    levels: Sequence[PlatformTcbLevel], tcb: PlatformTcb, tee_tcb_svn: bytes = b""
) -> PlatformTcbLevel | None:
    """Find the first level that the platform reaches; levels stand from highest to lowest.

    Args:
        levels: of the TCB info.
        tcb: what the PCK certificate certifies.
        tee_tcb_svn: the 16 versions of a TD report; b"" for an SGX enclave. A module that has an
            identity of its own is judged by that: its two versions are not compared here (Intel's
            quote verification library, EvaluateTcb, 4.1.2.5.2.1).
    """
    first = _TDX_MODULE_SVNS if tee_tcb_svn and tdx_module_version(tee_tcb_svn) else 0
    svns = tee_tcb_svn[first:]
    for level in levels:
        if tcb.reaches(level.tcb) and all(map(ge, svns, level.tdx_components[first:])):
            return level
    return None


def matching_isv_svn_level(levels: Sequence[IsvSvnLevel], isv_svn: int) -> IsvSvnLevel | None:
    """Find the first level that the enclave or module reaches; from highest to lowest."""
    return next((level for level in levels if isv_svn >= level.isv_svn), None)
