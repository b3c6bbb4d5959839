"""Key pairs of the emulated platform, and signatures in the form that SGX structures carry.

Intel writes ECDSA signatures as raw ``r || s`` and public keys as raw ``x || y``, big-endian, 32
bytes each (SGX ECDSA Quote Library Reference, appendix A.4).
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Literal

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "HASHES",
    "HashName",
    "PrivateKey",
    "key_bytes",
    "new_key",
    "raw_public_key",
    "raw_signature",
]

PrivateKey = ec.EllipticCurvePrivateKey
HashName = Literal["sha256", "sha384", "sha512"]
HASHES: Mapping[HashName, hashes.SHA256 | hashes.SHA384 | hashes.SHA512] = {
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}

_COORDINATE_MASK = (1 << 256) - 1


def new_key(curve: ec.EllipticCurve | None = None) -> PrivateKey:
    """Make a key pair: on P-256, as SGX demands, or on another curve for evidence to be refused."""
    return ec.generate_private_key(curve or ec.SECP256R1())


def raw_signature(key: PrivateKey, message: bytes) -> bytes:
    """Sign with ECDSA and SHA-256; returns the 64 bytes ``r || s``.

    The numbers of a key on a larger curve are cut to their low 32 bytes: the field has no room for
    more, and such a signature is there to be refused.
    """
    r, s = decode_dss_signature(key.sign(message, ec.ECDSA(hashes.SHA256())))
    return b"".join((number & _COORDINATE_MASK).to_bytes(32, "big") for number in (r, s))


def raw_public_key(key: PrivateKey) -> bytes:
    """Return the 64 bytes ``x || y`` of a P-256 public key."""
    numbers = key.public_key().public_numbers()
    return numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big")


def key_bytes(key: PrivateKey, purpose: str, size: int) -> bytes:
    """Derive at most 32 bytes from a public key: ids that outlive a restart."""
    public = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return hashlib.sha256(purpose.encode() + b"\0" + public).digest()[:size]
