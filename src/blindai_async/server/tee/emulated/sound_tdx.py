"""What is TDX's own of a sound platform: a TD, the TDX module, and their levels."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from blindai_async.server.tee.emulated.keys import key_bytes
from blindai_async.server.tee.emulated.sound_sgx import sgx_tcb_info
from blindai_async.server.tee.emulated.td_report import TdReport
from blindai_async.server.tee.emulated.tdx_module import (
    ModuleLevel,
    TdxModule,
    TdxModuleIdentity,
)

if TYPE_CHECKING:
    from blindai_async.server.tee.emulated.identity import PlatformIdentity
    from blindai_async.server.tee.emulated.tcb_info import TcbInfo

__all__ = ["TD_QE_ISV_SVN", "TD_QE_PROD_ID", "td", "tdx_tcb_info"]

TD_QE_PROD_ID, TD_QE_ISV_SVN = 2, 4

# SVN 5 of version 1 of the module, which the identity TDX_01 judges; from index 2 on the processor.
TEE_TCB_SVN = bytes((5, 1, 7, *([0] * 13)))


def td(identity: PlatformIdentity, *, version: str) -> TdReport:
    """Lay out the report of a production TD.

    Args:
        identity: names the TD's measurements.
        version: "1.0" or "1.5".
    """
    rtmr0, rtmr1, rtmr2, rtmr3 = identity.rtmrs
    report = TdReport(
        tee_tcb_svn=TEE_TCB_SVN,
        mr_seam=key_bytes(identity.keys.pck, "TDX module", 32) + bytes(16),
        mr_td=identity.mr_td,
        rtmr0=rtmr0,
        rtmr1=rtmr1,
        rtmr2=rtmr2,
        rtmr3=rtmr3,
    )
    if version == "1.0":
        return report
    return replace(report, tee_tcb_svn2=TEE_TCB_SVN, mr_service_td=bytes(48))


def tdx_tcb_info(issue_date: datetime, next_update: datetime, version: int) -> TcbInfo:
    """Lay out TCB info whose first level the platform is on, and its module."""
    info = sgx_tcb_info(issue_date, next_update, version)
    current, outdated = info.levels
    return replace(
        info,
        id="TDX",
        tdx_module=TdxModule(),
        tdx_module_identities=(
            TdxModuleIdentity(id="TDX_03", levels=(_module_level(3, "UpToDate"),)),
            TdxModuleIdentity(
                id="TDX_01",
                levels=(_module_level(5, "UpToDate"), _module_level(3, "OutOfDate")),
            ),
        ),
        levels=(
            # The first two numbers are those of a module of version 0, and say nothing of others.
            replace(current, tdx_component_svns=(5, 0, 7, *([0] * 13))),
            replace(outdated, tdx_component_svns=(3, 0, 5, *([0] * 13))),
        ),
    )


def _module_level(isv_svn: int, status: str) -> ModuleLevel:
    date = datetime(2024, 3, 13, tzinfo=UTC)
    if status == "UpToDate":
        return ModuleLevel(isv_svn=isv_svn, status=status, date=date)
    return ModuleLevel(
        isv_svn=isv_svn,
        status=status,
        date=date.replace(year=2023),
        advisory_ids=("EMULATED-SA-00002",),
    )
