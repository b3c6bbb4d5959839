"""What is SGX's own of a sound platform: an enclave, its quoting enclave, and their levels."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from blindai_async.server.tee.emulated.enclave_report import (
    INIT,
    MODE64BIT,
    PROVISION_KEY,
    EnclaveReport,
)
from blindai_async.server.tee.emulated.keys import key_bytes
from blindai_async.server.tee.emulated.qe_identity import QeIdentity, QeLevel
from blindai_async.server.tee.emulated.quote import QuotingEnclave
from blindai_async.server.tee.emulated.sound_pki import (
    COMPONENT_SVNS,
    CPU_SVN,
    FMSPC,
    PCE_ID,
    PCE_SVN,
)
from blindai_async.server.tee.emulated.tcb_info import TcbInfo, TcbLevel

if TYPE_CHECKING:
    from blindai_async.server.tee.emulated.identity import PlatformIdentity

__all__ = ["sgx_enclave", "sgx_qe_identity", "sgx_quoting_enclave", "sgx_tcb_info"]

QE_ISV_SVN = 7


def sgx_enclave(identity: PlatformIdentity) -> EnclaveReport:
    """Lay out the report of a production enclave."""
    return EnclaveReport(
        mr_enclave=identity.mr_enclave,
        mr_signer=identity.mr_signer,
        isv_prod_id=identity.isv_prod_id,
        isv_svn=identity.isv_svn,
        cpu_svn=CPU_SVN,
    )


def sgx_quoting_enclave(
    identity: PlatformIdentity, *, name: str = "QE", prod_id: int = 1, isv_svn: int = QE_ISV_SVN
) -> QuotingEnclave:
    """Lay out a quoting enclave: up to date, and known to its identity by the same arguments."""
    return QuotingEnclave(
        attestation_key=identity.keys.attestation,
        report=EnclaveReport(
            mr_enclave=key_bytes(identity.keys.pck, name, 32),
            mr_signer=key_bytes(identity.keys.pck, f"{name} signer", 32),
            isv_prod_id=prod_id,
            isv_svn=isv_svn,
            attributes_flags=INIT | MODE64BIT | PROVISION_KEY,
            cpu_svn=CPU_SVN,
        ),
    )


def sgx_tcb_info(issue_date: datetime, next_update: datetime, version: int) -> TcbInfo:
    """Lay out TCB info whose first level the platform is on."""
    return TcbInfo(
        version=version,
        issue_date=issue_date,
        next_update=next_update,
        fmspc=FMSPC,
        pce_id=PCE_ID,
        levels=(
            TcbLevel(
                component_svns=COMPONENT_SVNS,
                pce_svn=PCE_SVN,
                status="UpToDate",
                date=datetime(2024, 3, 13, tzinfo=UTC),
            ),
            TcbLevel(
                component_svns=(5, 5, 3, 3, 255, 255, *([0] * 10)),
                pce_svn=10,
                status="OutOfDate",
                date=datetime(2021, 11, 10, tzinfo=UTC),
                advisory_ids=("EMULATED-SA-00001",),
            ),
        ),
    )


def sgx_qe_identity(
    issue_date: datetime, next_update: datetime, quoting_enclave: EnclaveReport
) -> QeIdentity:
    """Lay out the identity by which a quoting enclave is known, its first level the enclave's."""
    return QeIdentity(
        issue_date=issue_date,
        next_update=next_update,
        misc_select=bytes(4),
        misc_select_mask=bytes.fromhex("ffffffff"),
        attributes=bytes([INIT | PROVISION_KEY]) + bytes(15),
        # MODE64BIT is not looked at, and none of the extended processor state.
        attributes_mask=bytes.fromhex("fbffffffffffffff") + bytes(8),
        mr_signer=quoting_enclave.mr_signer,
        isv_prod_id=quoting_enclave.isv_prod_id,
        levels=(
            QeLevel(
                isv_svn=quoting_enclave.isv_svn,
                status="UpToDate",
                date=datetime(2024, 3, 13, tzinfo=UTC),
            ),
            QeLevel(
                isv_svn=quoting_enclave.isv_svn - 2,
                status="OutOfDate",
                date=datetime(2020, 11, 11, tzinfo=UTC),
            ),
        ),
    )
