"""Steps 10 and 11 of the verification: from security versions to the one merged TCB status.

Source: Intel's quote verification library (EvaluateTcb 4.1.2.5, TdxModuleCheck, TDRelaunchCheck).
For a TDX trust domain each step has a part of its own: the TDX module, the software of Intel's that
isolates the TDs of a machine, and the relaunch of a TD whose module was updated while it runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from blindai_async.attestation.claims import StepPart
from blindai_async.attestation.dcap.report_builder import TcbVerdict
from blindai_async.attestation.dcap.reports import ReportBody
from blindai_async.attestation.dcap.tcb import (
    matching_isv_svn_level,
    matching_platform_level,
    tdx_module_version,
)
from blindai_async.attestation.errors import TcbStatusError
from blindai_async.attestation.parsing import EvidenceError
from blindai_async.attestation.tcb_status import TcbStatus, merge_statuses, relaunch_status

if TYPE_CHECKING:
    from blindai_async.attestation.dcap.report_builder import VerifiedCollateral
    from blindai_async.attestation.dcap.reports import Report, TdReport
    from blindai_async.attestation.dcap.tcb import IsvSvnLevel, PlatformTcb, PlatformTcbLevel
    from blindai_async.attestation.dcap.tcb_info import TcbInfo, TdxModule, TdxModuleIdentity

__all__ = ["TcbLevels", "require_not_revoked", "step_10_tcb_levels", "step_11_merge"]

_MODULE: Final = "TDX module"
_RELAUNCH: Final = "TDX relaunch"


class _ModuleError(EvidenceError):
    part = _MODULE


class TcbLevels(NamedTuple):
    """The levels that step 10 has found.

    Attributes:
        platform: of the platform.
        module: of the TDX module, where that has levels of its own.
    """

    platform: PlatformTcbLevel
    module: IsvSvnLevel | None


def step_10_tcb_levels(
    report: Report, verified: VerifiedCollateral
) -> tuple[TcbLevels, list[StepPart]]:
    """Step 10: the platform reaches a level of the TCB info, and so does a TDX module."""
    tcb_info, tcb = verified.tcb_info, verified.platform.tcb
    module_level, parts = None, []
    if isinstance(report, ReportBody):
        level = matching_platform_level(tcb_info.levels, tcb)
    else:
        module_level, part = _tdx_module(tcb_info, report)
        parts.append(part)
        level = matching_platform_level(tcb_info.levels, tcb, report.tee_tcb_svn)
    if level is None:
        raise EvidenceError("the platform is older than every level of its TCB info")
    return TcbLevels(level, module_level), parts


def step_11_merge(
    report: Report, verified: VerifiedCollateral, levels: TcbLevels, qe_level: IsvSvnLevel
) -> tuple[TcbVerdict, list[StepPart]]:
    """Step 11: the statuses of platform, quoting enclave and TDX module are merged."""
    status = merge_statuses(levels.platform.status, qe_level.status)
    found: list[PlatformTcbLevel | IsvSvnLevel] = [levels.platform, qe_level]
    if levels.module is not None:
        status = merge_statuses(status, levels.module.status)
        found.append(levels.module)
    parts: list[StepPart] = []
    if not isinstance(report, ReportBody) and report.tee_tcb_svn2 is not None:
        status, part = _tdx_relaunch(status, verified, report.tee_tcb_svn2, qe_level.status)
        parts.append(part)
    return TcbVerdict.of(status, *found), parts


def require_not_revoked(verdict: TcbVerdict) -> None:
    """Step 11, its end: no policy can accept `Revoked`."""
    if verdict.status is TcbStatus.REVOKED:
        raise TcbStatusError(
            "TCB status (step 11): the platform's TCB is revoked",
            status=verdict.status.value,
            advisory_ids=verdict.advisory_ids,
        )


def _tdx_module(tcb_info: TcbInfo, report: TdReport) -> tuple[IsvSvnLevel | None, StepPart]:
    """Step 10, TDX module: it is the genuine one, and reaches a level of its own.

    Returns:
        The module's level; None for version 0 of it, which the platform's levels cover.

    Raises:
        EvidenceError: the TCB info does not know such a module.
    """
    version = tdx_module_version(report.tee_tcb_svn)
    if not version:
        if tcb_info.module is None:
            raise _ModuleError("the TCB info does not describe it")
        _check_module(tcb_info.module, report)
        return None, StepPart(_MODULE, "version 0, judged with the platform")
    identity = _module_identity(tcb_info, version)
    if identity is None:
        raise _ModuleError(f"the TCB info does not know its version {version}")
    _check_module(identity.module, report)
    svn = report.tee_tcb_svn[0]
    level = matching_isv_svn_level(identity.levels, svn)
    if level is None:
        raise _ModuleError("it is older than every level of its identity")
    return level, StepPart(_MODULE, f"version {version}, SVN {svn}: {level.status}")


def _tdx_relaunch(
    launched: TcbStatus, verified: VerifiedCollateral, loaded_svn: bytes, qe_status: TcbStatus
) -> tuple[TcbStatus, StepPart]:
    """Step 11, TDX relaunch: whether launching the TD anew would bring it up to date.

    Args:
        launched: the merged status of what the TD was launched with.
        verified: the platform's levels, and what its PCK certificate certifies.
        loaded_svn: the security versions that are loaded now.
        qe_status: the quoting enclave's.
    """
    loaded = _status(verified.tcb_info, verified.platform.tcb, loaded_svn, qe_status)
    # Versions that no level knows say nothing in the TD's favour: what it was launched with counts.
    status = launched if loaded is None else relaunch_status(launched, loaded)
    return status, StepPart(_RELAUNCH, f"launched: {launched}, loaded: {loaded or 'no level'}")


def _status(
    tcb_info: TcbInfo, tcb: PlatformTcb, tee_tcb_svn: bytes, qe_status: TcbStatus
) -> TcbStatus | None:
    """The merged status at these security versions; None where no level is reached.

    A revoked platform is revoked whatever its TDX module is: an unknown one hides nothing.
    """
    level = matching_platform_level(tcb_info.levels, tcb, tee_tcb_svn)
    if level is None:
        return None
    status = merge_statuses(level.status, qe_status)
    version = tdx_module_version(tee_tcb_svn)
    if not version or status is TcbStatus.REVOKED:
        return status
    identity = _module_identity(tcb_info, version)
    module = identity and matching_isv_svn_level(identity.levels, tee_tcb_svn[0])
    return merge_statuses(status, module.status) if module else None


def _module_identity(tcb_info: TcbInfo, version: int) -> TdxModuleIdentity | None:
    return tcb_info.module_identities.get(f"TDX_{version:02X}")


def _check_module(module: TdxModule, report: TdReport) -> None:
    if report.mr_signer_seam != module.mr_signer:
        raise _ModuleError("it is not signed by Intel's key")
    attributes = int.from_bytes(report.seam_attributes, "little")
    # The library demands both: what Intel describes, and that no attribute is set at all.
    if attributes & module.attributes_mask != module.attributes or attributes:
        raise _ModuleError("its attributes are not Intel's")
