"""The certificates of a sound platform."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography import x509

from blindai_async.server.tee.emulated.certificates import CA_USAGE, CertificateTemplate
from blindai_async.server.tee.emulated.identity import PckCa, PlatformIdentity
from blindai_async.server.tee.emulated.keys import key_bytes
from blindai_async.server.tee.emulated.pki import Pki
from blindai_async.server.tee.emulated.sgx_extension import SgxExtension

if TYPE_CHECKING:
    from datetime import datetime

    from blindai_async.server.tee.emulated.blueprint import Lifetimes
    from blindai_async.server.tee.emulated.keys import PrivateKey

__all__ = ["COMPONENT_SVNS", "CPU_SVN", "FMSPC", "PCE_ID", "PCE_SVN", "sound_pki"]

FMSPC = b"EMULAT"
PCE_ID = bytes(2)
COMPONENT_SVNS = (7, 7, 4, 4, 255, 255, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0)
CPU_SVN = bytes(COMPONENT_SVNS)
PCE_SVN = 12

_URI = "https://emulated-sgx.invalid"


def sound_pki(identity: PlatformIdentity, now: datetime, lifetimes: Lifetimes) -> Pki:
    """Lay out the certificates, valid at `now`."""
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
