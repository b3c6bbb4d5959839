"""The enclave signing key in the enclave's certificate."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from blindai_async.attestation import enclave_signing_key
from blindai_async.errors import AttestationError
from blindai_async.server.tee.emulated import der as writer

NAME = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "rcgen self signed cert")])
KEY_OID, RSA_OID = "1.3.6.1.3.2", "1.3.6.1.3.1"
KEY = bytes(range(32))


def certificate(*extensions: tuple[str, bytes], key: Any = None) -> bytes:
    private = key or ec.generate_private_key(ec.SECP256R1())
    builder = (
        x509.CertificateBuilder(NAME, NAME)
        .public_key(private.public_key())
        .serial_number(7)
        .not_valid_before(datetime(1975, 1, 1))  # noqa: DTZ001 - UTC, as the builder wants it
        .not_valid_after(datetime(4096, 1, 1))  # noqa: DTZ001 - UTC, as the builder wants it
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("blindai-srv")]), False)
    )
    for oid, value in extensions:
        unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), value)
        builder = builder.add_extension(unknown, False)
    algorithm = None if isinstance(private, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(private, algorithm).public_bytes(Encoding.DER)


@given(st.binary(min_size=32, max_size=32))
def test_the_key_is_read_raw(key: bytes) -> None:
    assert enclave_signing_key(certificate((RSA_OID, b"not read"), (KEY_OID, key))) == key


def test_the_certificates_own_key_does_not_matter() -> None:
    own = ed25519.Ed25519PrivateKey.generate()
    assert enclave_signing_key(certificate((KEY_OID, KEY), key=own)) == KEY


@pytest.mark.parametrize(
    "value", [b"", KEY[:31], KEY + b"\0", writer.octet_string(KEY), KEY.hex().encode()]
)
def test_a_key_of_another_length_is_refused(value: bytes) -> None:
    with pytest.raises(AttestationError, match="32"):
        enclave_signing_key(certificate((KEY_OID, value)))


def test_a_certificate_that_names_no_key_is_refused() -> None:
    with pytest.raises(AttestationError, match="names no signing key"):
        enclave_signing_key(certificate((RSA_OID, KEY)))


def test_a_certificate_that_names_two_keys_is_refused() -> None:
    data = certificate((KEY_OID, KEY), (RSA_OID, KEY))
    twice = data.replace(writer.object_identifier(RSA_OID), writer.object_identifier(KEY_OID))
    assert twice != data
    with pytest.raises(AttestationError, match="stands twice"):
        enclave_signing_key(twice)


def test_anything_else_is_refused() -> None:
    data = certificate((KEY_OID, KEY))
    for other in (b"", data[:-1], data + b"\0", data[4:], bytes(1 << 20), b"\x30\x00"):
        with pytest.raises(AttestationError):
            enclave_signing_key(other)


@given(st.binary(max_size=200), st.integers(0, 400), st.integers(1, 255))
def test_damaged_certificates_raise_nothing_else(data: bytes, position: int, mask: int) -> None:
    damaged = bytearray(SOUND)
    damaged[position % len(damaged)] ^= mask
    for candidate in (data, bytes(damaged), bytes(damaged[:position]) + data):
        try:
            key = enclave_signing_key(candidate)
        except AttestationError:
            continue
        assert len(key) == 32


SOUND = certificate((KEY_OID, KEY))
