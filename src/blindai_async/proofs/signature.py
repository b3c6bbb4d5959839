"""The enclave's Ed25519 signature over an answer (RFC 8032), and the key that checks it."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from blindai_async.errors import SignatureError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

__all__ = ["SigningKey", "raw_key", "verify_signature"]

SigningKey: TypeAlias = "bytes | Ed25519PublicKey"
"""An enclave signing key: its 32 raw bytes, or the key object of `cryptography`."""


def raw_key(key: SigningKey) -> bytes:
    """Give the raw bytes of a signing key, in whichever form it came.

    Raises:
        TypeError: neither bytes nor an `Ed25519PublicKey`.
    """
    if isinstance(key, bytes | bytearray | memoryview):
        return bytes(key)
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # noqa: PLC0415 - slow to import
        Ed25519PublicKey,
    )

    if isinstance(key, Ed25519PublicKey):
        return key.public_bytes_raw()
    raise TypeError(
        f"the enclave signing key is a {type(key).__name__}; pass its 32 raw bytes or an "
        "Ed25519PublicKey"
    )


def verify_signature(
    public_key: SigningKey | None, signature: bytes, signed: bytes | memoryview
) -> None:
    """Check an Ed25519 signature of the enclave.

    Args:
        public_key: the enclave signing key.
        signature: 64 bytes.
        signed: the bytes that it is said to cover.

    Raises:
        SignatureError: it does not cover them, or the key is not an Ed25519 key.
    """
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - slow to import,
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # noqa: PLC0415 - used rarely
        Ed25519PublicKey,
    )

    if public_key is None:
        raise SignatureError("there is no enclave signing key to check the response with")
    if not signature:
        raise SignatureError("a signed response was asked for, and this one is not signed")
    try:
        key = Ed25519PublicKey.from_public_bytes(raw_key(public_key))
        key.verify(signature, signed)
    except (InvalidSignature, ValueError) as error:
        raise SignatureError("the response is not signed by this enclave's key") from error
