"""What stays the same of a platform over restarts: its keys, and what it attests."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Literal

from cryptography import x509

from blindai_async.server.tee.emulated.keys import new_key

if TYPE_CHECKING:
    from blindai_async.server.tee.emulated.keys import PrivateKey

__all__ = ["PckCa", "PlatformIdentity", "PlatformKeys", "Tee"]

Tee = Literal["sgx", "tdx"]

# Run-time measurement 3 is the application's, and nothing extends it here.
_UNEXTENDED = bytes(48)


class PckCa(Enum):
    """Which intermediate certifies the PCK: by the kind of server that the platform is."""

    PLATFORM = "platform"
    PROCESSOR = "processor"


@dataclass(frozen=True, kw_only=True)
class PlatformKeys:
    """The private keys of a platform.

    Attributes:
        root: of the root CA.
        intermediate: of the platform or processor CA.
        pck: of the platform itself; certifies the quoting enclave.
        tcb_signer: signs TCB info and QE identity.
        attestation: of the quoting enclave; signs quotes.
    """

    root: PrivateKey = field(default_factory=new_key)
    intermediate: PrivateKey = field(default_factory=new_key)
    pck: PrivateKey = field(default_factory=new_key)
    tcb_signer: PrivateKey = field(default_factory=new_key)
    attestation: PrivateKey = field(default_factory=new_key)


def _digest256() -> bytes:
    return secrets.token_bytes(32)


def _digest384() -> bytes:
    return secrets.token_bytes(48)


def _rtmrs() -> tuple[bytes, bytes, bytes, bytes]:
    return (_digest384(), _digest384(), _digest384(), _UNEXTENDED)


@dataclass(frozen=True, kw_only=True)
class PlatformIdentity:
    """Keys and names of one platform; everything else is issued from them.

    Attributes:
        keys: the private keys.
        tee: what is attested: an enclave, "sgx", or a trust domain, "tdx".
        mr_enclave: measurement of the platform's one enclave, 32 bytes.
        mr_signer: its signer, 32 bytes.
        isv_prod_id: its product id.
        isv_svn: its security version number.
        mr_td: measurement of the platform's one TD, 48 bytes.
        rtmrs: its four run-time measurements, 48 bytes each.
        pck_ca: the kind of intermediate.
        root_certificate: DER of the root issued earlier; while it is valid it stays, because
            clients hold it.
    """

    keys: PlatformKeys = field(default_factory=PlatformKeys, repr=False)
    tee: Tee = "sgx"
    mr_enclave: bytes = field(default_factory=_digest256)
    mr_signer: bytes = field(default_factory=_digest256)
    isv_prod_id: int = 0
    isv_svn: int = 0
    mr_td: bytes = field(default_factory=_digest384)
    rtmrs: tuple[bytes, bytes, bytes, bytes] = field(default_factory=_rtmrs)
    pck_ca: PckCa = PckCa.PLATFORM
    root_certificate: bytes | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.tee not in {"sgx", "tdx"}:
            raise ValueError(f'tee must be "sgx" or "tdx", not {self.tee!r}')
        for name in ("mr_enclave", "mr_signer"):
            _check_size(name, getattr(self, name), 32)
        _check_size("mr_td", self.mr_td, 48)
        if len(self.rtmrs) != 4:
            raise ValueError(f"rtmrs must be 4 measurements, not {len(self.rtmrs)}")
        for number, rtmr in enumerate(self.rtmrs):
            _check_size(f"rtmr{number}", rtmr, 48)
        if self.root_certificate is not None:
            certified = x509.load_der_x509_certificate(self.root_certificate).public_key()
            if certified != self.keys.root.public_key():
                raise ValueError("the root certificate is of another key than the root's")


def _check_size(name: str, measurement: bytes, size: int) -> None:
    if len(measurement) != size:
        raise ValueError(f"{name} must be {size} bytes, not {len(measurement)}")
