"""What stays the same of a platform over restarts: its keys, and who its enclave is."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from cryptography import x509

from blindai_async.server.tee.emulated.keys import new_key

if TYPE_CHECKING:
    from blindai_async.server.tee.emulated.keys import PrivateKey

__all__ = ["PckCa", "PlatformIdentity", "PlatformKeys", "random_measurement"]


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


def random_measurement() -> bytes:
    """Make up a measurement: 32 random bytes."""
    return secrets.token_bytes(32)


@dataclass(frozen=True, kw_only=True)
class PlatformIdentity:
    """Keys and names of one platform; everything else is issued from them.

    Attributes:
        keys: the private keys.
        mr_enclave: measurement of the platform's one enclave, 32 bytes.
        mr_signer: its signer, 32 bytes.
        isv_prod_id: its product id.
        isv_svn: its security version number.
        pck_ca: the kind of intermediate.
        root_certificate: DER of the root issued earlier; while it is valid it stays, because
            clients hold it.
    """

    keys: PlatformKeys = field(default_factory=PlatformKeys, repr=False)
    mr_enclave: bytes = field(default_factory=random_measurement)
    mr_signer: bytes = field(default_factory=random_measurement)
    isv_prod_id: int = 0
    isv_svn: int = 0
    pck_ca: PckCa = PckCa.PLATFORM
    root_certificate: bytes | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        for name in ("mr_enclave", "mr_signer"):
            size = len(getattr(self, name))
            if size != 32:
                raise ValueError(f"{name} must be 32 bytes, not {size}")
        if self.root_certificate is not None:
            certified = x509.load_der_x509_certificate(self.root_certificate).public_key()
            if certified != self.keys.root.public_key():
                raise ValueError("the root certificate is of another key than the root's")
