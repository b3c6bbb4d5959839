"""What the enclave's own TLS certificate says besides its TLS key: the key that signs responses.

The certificate is self-signed and proves nothing on its own. What it says holds once a quote's
report data has been shown to be the digest of it (step 12 of the verification).
"""

from __future__ import annotations

from typing import Final

from blindai_async.attestation.errors import AttestationError
from blindai_async.attestation.parsing import MAX_HELD_DATA_BYTES, EvidenceError
from blindai_async.attestation.x509 import der
from blindai_async.attestation.x509.extensions import read_extensions

__all__ = ["ED25519_KEY_BYTES", "SIGNING_KEY_OID", "enclave_signing_key"]

SIGNING_KEY_OID: Final = "1.3.6.1.3.2"
ED25519_KEY_BYTES: Final = 32

_SIGNING_KEY_OID_BYTES: Final = der.oid_bytes(SIGNING_KEY_OID)
_EXTENSIONS_TAG: Final = 0xA3


def enclave_signing_key(certificate_der: bytes) -> bytes:
    """Read the enclave signing key out of the enclave's certificate.

    Trust the key only as far as the certificate: verify the evidence that binds it first.

    Args:
        certificate_der: the enclave held data, one DER certificate and nothing after it.

    Returns:
        The raw 32 bytes of an Ed25519 public key (extension 1.3.6.1.3.2).

    Raises:
        AttestationError: not a certificate, or one that names no such key, or names two.
    """
    try:
        key = _find_signing_key(certificate_der)
    except EvidenceError as error:
        raise AttestationError(f"The enclave's certificate cannot be read: {error}") from error
    if key is None:
        raise AttestationError(
            f"The enclave's certificate names no signing key (extension {SIGNING_KEY_OID})"
        )
    if len(key) != ED25519_KEY_BYTES:
        raise AttestationError(
            f"The enclave's signing key has {len(key)} bytes; an Ed25519 key has "
            f"{ED25519_KEY_BYTES}"
        )
    return key


def _find_signing_key(data: bytes) -> bytes | None:
    if len(data) > MAX_HELD_DATA_BYTES:
        raise EvidenceError(f"more than {MAX_HELD_DATA_BYTES} bytes")
    start, end = der.expect(data, 0, len(data), der.SEQUENCE)
    if end != len(data):
        raise EvidenceError("bytes follow the certificate")
    start, end = der.expect(data, start, end, der.SEQUENCE)
    for tag, _, content, stop in der.children(data, start, end):
        if tag == _EXTENSIONS_TAG:
            found = read_extensions(data, content, stop).get(_SIGNING_KEY_OID_BYTES)
            return None if found is None else found.value
    return None
