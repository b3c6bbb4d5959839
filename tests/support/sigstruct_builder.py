"""Builds SIGSTRUCTs as a signing tool does, field by field from Intel's table; signed by a key."""

from __future__ import annotations

import hashlib
from functools import cache

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

__all__ = ["MR_ENCLAVE", "modulus", "sigstruct"]

MR_ENCLAVE = hashlib.sha256(b"an enclave").digest()


@cache
def signing_key() -> rsa.RSAPrivateKey:
    """The signer's key, one a run: making one takes long."""
    return rsa.generate_private_key(public_exponent=3, key_size=3072)


def modulus() -> bytes:
    """The signer's modulus, as a SIGSTRUCT holds it."""
    return signing_key().public_key().public_numbers().n.to_bytes(384, "little")


def sigstruct(
    *,
    mr_enclave: bytes = MR_ENCLAVE,
    flags: int = 0x4,
    xfrm: int = 0x3,
    mask_flags: int = 0xFFFFFFFFFFFFFFFF,
    mask_xfrm: int = 0xFFFFFFFFFFFFFF1B,
    misc: int = 0,
    misc_mask: int = 0xFFFFFFFF,
    product: int = 7,
    svn: int = 3,
    date: int = 0x20261124,
) -> bytes:
    """A whole SIGSTRUCT, signed."""
    fields = bytearray(1808)

    def put(offset: int, value: bytes) -> None:
        fields[offset : offset + len(value)] = value

    put(0, bytes.fromhex("06000000E10000000000010000000000"))
    put(20, date.to_bytes(4, "little"))
    put(24, bytes.fromhex("01010000600000006000000001000000"))
    put(900, misc.to_bytes(4, "little"))
    put(904, misc_mask.to_bytes(4, "little"))
    put(928, flags.to_bytes(8, "little") + xfrm.to_bytes(8, "little"))
    put(944, mask_flags.to_bytes(8, "little") + mask_xfrm.to_bytes(8, "little"))
    put(960, mr_enclave)
    put(1024, product.to_bytes(2, "little"))
    put(1026, svn.to_bytes(2, "little"))
    put(128, modulus())
    put(512, (3).to_bytes(4, "little"))
    signed = bytes(fields[:128] + fields[900:1028])
    signature = signing_key().sign(signed, padding.PKCS1v15(), hashes.SHA256())
    put(516, signature[::-1])
    return bytes(fields)
