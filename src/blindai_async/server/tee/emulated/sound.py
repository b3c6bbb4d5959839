"""How a sound platform is made: valid now, up to date, with nothing wrong."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from blindai_async.server.tee.emulated.blueprint import Blueprint
from blindai_async.server.tee.emulated.crls import Crls, CrlTemplate
from blindai_async.server.tee.emulated.quote import quote_format
from blindai_async.server.tee.emulated.sound_pki import sound_pki
from blindai_async.server.tee.emulated.sound_sgx import (
    sgx_enclave,
    sgx_qe_identity,
    sgx_quoting_enclave,
    sgx_tcb_info,
)
from blindai_async.server.tee.emulated.sound_tdx import (
    TD_QE_ISV_SVN,
    TD_QE_PROD_ID,
    td,
    tdx_tcb_info,
)

if TYPE_CHECKING:
    from datetime import datetime

    from blindai_async.server.tee.emulated.blueprint import Lifetimes
    from blindai_async.server.tee.emulated.identity import PlatformIdentity

__all__ = ["TdReportVersion", "sound_blueprint"]

TdReportVersion = Literal["1.0", "1.5"]

_SGX, _TDX = 0, 0x81
_BODY_TYPES = {"1.0": 2, "1.5": 3}
_SGX_BODY_TYPE = 1


def sound_blueprint(
    identity: PlatformIdentity,
    *,
    now: datetime,
    lifetimes: Lifetimes,
    tcb_info_version: int | None,
    quote_version: int | None,
    td_report: TdReportVersion | None,
) -> Blueprint:
    """Lay out a platform with nothing wrong.

    Args:
        identity: keys, and what is attested.
        now: the moment around which all validity is laid.
        lifetimes: how long the pieces are valid.
        tcb_info_version: None for 2 (SGX) or 3 (TDX).
        quote_version: None for 3 (SGX) or 4 (TDX).
        td_report: None for 1.5 in quotes of version 5, and for 1.0 in others.

    Raises:
        ValueError: there is no such combination.
    """
    if identity.tee == "tdx":
        version = 4 if quote_version is None else quote_version
        report = td_report or ("1.5" if version == 5 else "1.0")
        info_version = 3 if tcb_info_version is None else tcb_info_version
        _check_tdx(version, report, info_version)
        return _tdx(identity, now, lifetimes, version, report)
    if td_report is not None:
        raise ValueError('td_report is for tee="tdx": an SGX enclave has no TD report')
    version = 3 if quote_version is None else quote_version
    if version not in {3, 4, 5}:
        raise ValueError(f"there are SGX quotes of version 3, 4 and 5, not {version}")
    return _sgx(
        identity, now, lifetimes, version, 2 if tcb_info_version is None else tcb_info_version
    )


def _check_tdx(version: int, report: TdReportVersion, tcb_info_version: int) -> None:
    if version not in {4, 5}:
        raise ValueError(f"there are TDX quotes of version 4 and 5, not {version}")
    if report not in _BODY_TYPES:
        raise ValueError(f"there are TD reports 1.0 and 1.5, not {report!r}")
    if version == 4 and report != "1.0":
        raise ValueError(f"quotes of version 4 carry TD reports 1.0, not {report}")
    if tcb_info_version != 3:
        raise ValueError(f"TCB info for TDX is of version 3, not {tcb_info_version}")


def _sgx(
    identity: PlatformIdentity,
    now: datetime,
    lifetimes: Lifetimes,
    quote_version: int,
    tcb_info_version: int,
) -> Blueprint:
    start, end = now - lifetimes.backdated, now + lifetimes.collateral
    quoting_enclave = sgx_quoting_enclave(identity)
    return Blueprint(
        pki=sound_pki(identity, now, lifetimes),
        crls=_crls(now, lifetimes),
        tcb_info=sgx_tcb_info(start, end, tcb_info_version),
        qe_identity=sgx_qe_identity(start, end, quoting_enclave.report),
        quoting_enclave=quoting_enclave,
        enclave=sgx_enclave(identity),
        quote=quote_format(quote_version, tee_type=_SGX, body_type=_SGX_BODY_TYPE),
    )


def _tdx(
    identity: PlatformIdentity,
    now: datetime,
    lifetimes: Lifetimes,
    quote_version: int,
    report: TdReportVersion,
) -> Blueprint:
    start, end = now - lifetimes.backdated, now + lifetimes.collateral
    quoting_enclave = sgx_quoting_enclave(
        identity, name="TD_QE", prod_id=TD_QE_PROD_ID, isv_svn=TD_QE_ISV_SVN
    )
    return Blueprint(
        pki=sound_pki(identity, now, lifetimes),
        crls=_crls(now, lifetimes),
        tcb_info=tdx_tcb_info(start, end, version=3),
        qe_identity=replace(sgx_qe_identity(start, end, quoting_enclave.report), id="TD_QE"),
        quoting_enclave=quoting_enclave,
        td=td(identity, version=report),
        quote=quote_format(quote_version, tee_type=_TDX, body_type=_BODY_TYPES[report]),
    )


def _crls(now: datetime, lifetimes: Lifetimes) -> Crls:
    start = now - lifetimes.backdated
    return Crls(
        root=CrlTemplate(last_update=start, next_update=now + lifetimes.root_crl),
        pck=CrlTemplate(last_update=start, next_update=now + lifetimes.collateral),
    )
