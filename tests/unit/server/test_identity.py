"""Certificates in the form that 0.5 clients read."""

from __future__ import annotations

import datetime as dt

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from blindai_async.server.identity import make_enclave_identity, open_host_identity


@pytest.fixture(scope="module")
def identity():
    return make_enclave_identity()


@pytest.fixture(scope="module")
def certificate(identity):
    return x509.load_der_x509_certificate(identity.certificate)


def raw_extension(certificate, oid):
    return certificate.extensions.get_extension_for_oid(x509.ObjectIdentifier(oid)).value.value


def test_the_enclaves_certificate_is_self_signed_p256(certificate):
    certificate.verify_directly_issued_by(certificate)
    assert isinstance(certificate.public_key().curve, ec.SECP256R1)
    assert isinstance(certificate.signature_hash_algorithm, hashes.SHA256)
    assert certificate.subject.rfc4514_string() == "CN=rcgen self signed cert"
    assert certificate.issuer == certificate.subject


def test_it_is_valid_from_1975_to_4096(certificate):
    assert certificate.not_valid_before_utc == dt.datetime(1975, 1, 1, tzinfo=dt.UTC)
    assert certificate.not_valid_after_utc == dt.datetime(4096, 1, 1, tzinfo=dt.UTC)


def test_it_carries_the_name_that_clients_override(certificate):
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert list(names) == [x509.DNSName("blindai-srv")]


def test_its_extensions_hold_the_signing_key_and_an_rsa_key_unwrapped(identity, certificate):
    assert raw_extension(certificate, "1.3.6.1.3.2") == identity.public_signing_key
    assert len(identity.public_signing_key) == 32
    pkcs1 = raw_extension(certificate, "1.3.6.1.3.1")
    key = serialization.load_der_public_key(pkcs1)
    assert isinstance(key, rsa.RSAPublicKey)
    assert key.key_size == 2048


def test_pem_and_der_are_the_same_certificate(identity, certificate):
    assert x509.load_pem_x509_certificate(identity.certificate_pem) == certificate


def test_secrets_do_not_show_in_a_repr(identity, tmp_path):
    host = open_host_identity(tmp_path)
    for text in (repr(identity), repr(host)):
        assert "PRIVATE KEY" not in text


def test_the_hosts_pair_is_made_once(tmp_path):
    first = open_host_identity(tmp_path)
    assert open_host_identity(tmp_path) == first
    certificate = x509.load_pem_x509_certificate(first.certificate_pem)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert list(names) == [x509.DNSName("blindai-srv")]


@pytest.mark.parametrize("name", ["host_server.pem", "host_server.key"])
@pytest.mark.parametrize("content", [None, b"", b"junk"])
def test_a_damaged_pair_is_an_error_and_not_replaced(tmp_path, name, content):
    open_host_identity(tmp_path)
    if content is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match="new pair"):
        open_host_identity(tmp_path)


def test_a_key_of_another_certificate_is_an_error(tmp_path):
    (tmp_path / "other").mkdir()
    open_host_identity(tmp_path)
    open_host_identity(tmp_path / "other")
    (tmp_path / "other" / "host_server.key").replace(tmp_path / "host_server.key")
    with pytest.raises(ValueError, match="new pair"):
        open_host_identity(tmp_path)
