"""The pieces of a platform, and how a sound one is made of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cryptography import x509

from blindai_async.server.tee.emulated.certificates import CA_USAGE, CertificateTemplate
from blindai_async.server.tee.emulated.collateral import CollateralLayout
from blindai_async.server.tee.emulated.crls import Crls, CrlTemplate
from blindai_async.server.tee.emulated.enclave_report import (
    INIT,
    MODE64BIT,
    PROVISION_KEY,
    EnclaveReport,
)
from blindai_async.server.tee.emulated.identity import PckCa, PlatformIdentity
from blindai_async.server.tee.emulated.keys import key_bytes
from blindai_async.server.tee.emulated.pki import Pki
from blindai_async.server.tee.emulated.qe_identity import QeIdentity, QeLevel
from blindai_async.server.tee.emulated.quote import QuoteFormat, QuotingEnclave
from blindai_async.server.tee.emulated.sgx_extension import SgxExtension
from blindai_async.server.tee.emulated.tcb_info import TcbInfo, TcbLevel

if TYPE_CHECKING:
    from blindai_async.server.tee.emulated.keys import PrivateKey

__all__ = ["Blueprint", "Lifetimes", "sound_blueprint"]

FMSPC = b"EMULAT"
PCE_ID = bytes(2)
COMPONENT_SVNS = (7, 7, 4, 4, 255, 255, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0)
CPU_SVN = bytes(COMPONENT_SVNS)
PCE_SVN = 12
QE_ISV_SVN = 7

_URI = "https://emulated-sgx.invalid"


@dataclass(frozen=True, kw_only=True)
class Lifetimes:
    """How long the pieces are valid, counted from the platform's `now`.

    Attributes:
        backdated: before `now`, everything is valid already: clients' clocks differ.
        root: the root certificate.
        certificates: intermediate, PCK and TCB signing certificates.
        root_crl: the root's revocation list.
        collateral: the PCK revocation list, TCB info and QE identity.
    """

    backdated: timedelta = timedelta(days=1)
    root: timedelta = timedelta(days=30 * 365)
    certificates: timedelta = timedelta(days=7 * 365)
    root_crl: timedelta = timedelta(days=365)
    collateral: timedelta = timedelta(days=30)


@dataclass(frozen=True, kw_only=True)
class Blueprint:
    """All pieces of a platform, before anything is signed.

    Attributes:
        pki: the certificates.
        crls: the revocation lists.
        tcb_info: patch levels of the platform.
        qe_identity: which quoting enclaves are genuine.
        quoting_enclave: the one that signs quotes.
        enclave: the report of the enclave that is attested.
        quote: the quote's own fields and lengths.
        collateral: which fields of the message are filled, and how.
    """

    pki: Pki
    crls: Crls
    tcb_info: TcbInfo
    qe_identity: QeIdentity
    quoting_enclave: QuotingEnclave
    enclave: EnclaveReport
    quote: QuoteFormat = field(default_factory=QuoteFormat)
    collateral: CollateralLayout = field(default_factory=CollateralLayout)


def sound_blueprint(
    identity: PlatformIdentity, *, now: datetime, lifetimes: Lifetimes, tcb_info_version: int
) -> Blueprint:
    """Lay out a platform with nothing wrong: valid at `now`, up to date, a production enclave."""
    start = now - lifetimes.backdated
    qe_signer = key_bytes(identity.keys.pck, "QE signer", 32)
    return Blueprint(
        pki=_pki(identity, now, lifetimes),
        crls=Crls(
            root=CrlTemplate(last_update=start, next_update=now + lifetimes.root_crl),
            pck=CrlTemplate(last_update=start, next_update=now + lifetimes.collateral),
        ),
        tcb_info=_tcb_info(start, now + lifetimes.collateral, tcb_info_version),
        qe_identity=_qe_identity(start, now + lifetimes.collateral, qe_signer),
        quoting_enclave=QuotingEnclave(
            attestation_key=identity.keys.attestation,
            report=EnclaveReport(
                mr_enclave=key_bytes(identity.keys.pck, "QE", 32),
                mr_signer=qe_signer,
                isv_prod_id=1,
                isv_svn=QE_ISV_SVN,
                attributes_flags=INIT | MODE64BIT | PROVISION_KEY,
                cpu_svn=CPU_SVN,
            ),
        ),
        enclave=EnclaveReport(
            mr_enclave=identity.mr_enclave,
            mr_signer=identity.mr_signer,
            isv_prod_id=identity.isv_prod_id,
            isv_svn=identity.isv_svn,
            cpu_svn=CPU_SVN,
        ),
        quote=QuoteFormat(pce_svn=PCE_SVN, qe_svn=QE_ISV_SVN),
    )


def _pki(identity: PlatformIdentity, now: datetime, lifetimes: Lifetimes) -> Pki:
    keys, start, end = identity.keys, now - lifetimes.backdated, now + lifetimes.certificates
    ca_name = "Platform" if identity.pck_ca is PckCa.PLATFORM else "Processor"
    return Pki(
        root=_root(identity, now, lifetimes),
        intermediate=CertificateTemplate(
            key=keys.intermediate,
            subject=f"Intel SGX PCK {ca_name} CA",
            serial_number=_serial_number(keys.intermediate),
            not_before=start,
            not_after=end,
            ca=True,
            path_length=0,
            key_usage=CA_USAGE,
            crl_distribution_point=f"{_URI}/root-ca.crl",
        ),
        pck=CertificateTemplate(
            key=keys.pck,
            subject="Intel SGX PCK Certificate",
            serial_number=_serial_number(keys.pck),
            not_before=start,
            not_after=end,
            crl_distribution_point=f"{_URI}/pck.crl?ca={identity.pck_ca.value}",
            sgx_extension=_sgx_extension(identity),
        ),
        tcb_signer=CertificateTemplate(
            key=keys.tcb_signer,
            subject="Intel SGX TCB Signing",
            serial_number=_serial_number(keys.tcb_signer),
            not_before=start,
            not_after=end,
            crl_distribution_point=f"{_URI}/root-ca.crl",
        ),
    )


def _root(identity: PlatformIdentity, now: datetime, lifetimes: Lifetimes) -> CertificateTemplate:
    """Describe the root; the one issued earlier is kept as long as it has a certificate's life."""
    start, end = now - lifetimes.backdated, now + lifetimes.root
    kept = None
    if identity.root_certificate is not None:
        earlier = x509.load_der_x509_certificate(identity.root_certificate)
        valid = (earlier.not_valid_before_utc, earlier.not_valid_after_utc)
        if valid[0] <= now and now + lifetimes.collateral <= valid[1]:
            kept, (start, end) = identity.root_certificate, valid
    root = CertificateTemplate(
        key=identity.keys.root,
        subject="Intel SGX Root CA",
        serial_number=_serial_number(identity.keys.root),
        not_before=start,
        not_after=end,
        ca=True,
        path_length=1,
        key_usage=CA_USAGE,
        crl_distribution_point=f"{_URI}/root-ca.crl",
    )
    if kept is not None:
        root.remember(kept)
    return root


def _serial_number(key: PrivateKey) -> int:
    # The top bit is cleared: a serial number is positive and at most 20 bytes (RFC 5280, 4.1.2.2).
    return int.from_bytes(key_bytes(key, "serial number", 20)) & (1 << 159) - 1 | 1


def _sgx_extension(identity: PlatformIdentity) -> SgxExtension:
    of_platform_ca = identity.pck_ca is PckCa.PLATFORM
    pck = identity.keys.pck
    return SgxExtension(
        ppid=key_bytes(pck, "PPID", 16),
        component_svns=COMPONENT_SVNS,
        pce_svn=PCE_SVN,
        cpu_svn=CPU_SVN,
        pce_id=PCE_ID,
        fmspc=FMSPC,
        sgx_type=1 if of_platform_ca else 0,
        platform_instance_id=key_bytes(pck, "instance", 16) if of_platform_ca else None,
        configuration=(True, True, True) if of_platform_ca else None,
    )


def _tcb_info(issue_date: datetime, next_update: datetime, version: int) -> TcbInfo:
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


def _qe_identity(issue_date: datetime, next_update: datetime, mr_signer: bytes) -> QeIdentity:
    return QeIdentity(
        issue_date=issue_date,
        next_update=next_update,
        misc_select=bytes(4),
        misc_select_mask=bytes.fromhex("ffffffff"),
        attributes=bytes([INIT | PROVISION_KEY]) + bytes(15),
        # MODE64BIT is not looked at, and none of the extended processor state.
        attributes_mask=bytes.fromhex("fbffffffffffffff") + bytes(8),
        mr_signer=mr_signer,
        isv_prod_id=1,
        levels=(
            QeLevel(isv_svn=QE_ISV_SVN, status="UpToDate", date=datetime(2024, 3, 13, tzinfo=UTC)),
            QeLevel(isv_svn=5, status="OutOfDate", date=datetime(2020, 11, 11, tzinfo=UTC)),
        ),
    )
