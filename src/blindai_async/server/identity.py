"""Who the server is: the enclave's certificate and signing key, and the host's certificate.

The enclave's identity lives in memory only and is new at every start, as inside a real enclave:
what a client pinned before a restart never fits afterwards. The host's certificate is kept, so
that a client can be given it as a file.
"""

from __future__ import annotations

import datetime as dt
import os
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

from blindai_async.server.storage.private_files import check_private, write_private, write_public

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["EnclaveIdentity", "HostIdentity", "make_enclave_identity", "open_host_identity"]

SERVER_NAME = "blindai-srv"
_RSA_KEY_OID = x509.ObjectIdentifier("1.3.6.1.3.1")
_SIGNING_KEY_OID = x509.ObjectIdentifier("1.3.6.1.3.2")
_ENCLAVE_COMMON_NAME = "rcgen self signed cert"
_NOT_BEFORE = dt.datetime(1975, 1, 1, tzinfo=dt.UTC)
_NOT_AFTER = dt.datetime(4096, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True)
class EnclaveIdentity:
    """The keys and the certificate of one run of the enclave.

    Attributes:
        certificate: self-signed, DER: what the quote commits to and the attested port presents.
        certificate_pem: the same, PEM.
        tls_key_pem: the certificate's private key.
        signing_key: signs replies; its public half stands in the certificate's extension.
    """

    certificate: bytes
    certificate_pem: bytes
    tls_key_pem: bytes = field(repr=False)
    signing_key: ed25519.Ed25519PrivateKey = field(repr=False)

    @property
    def public_signing_key(self) -> bytes:
        """The Ed25519 public key that verifies signed replies, 32 raw bytes."""
        return self.signing_key.public_key().public_bytes_raw()


@dataclass(frozen=True)
class HostIdentity:
    """The untrusted port's certificate and private key, PEM."""

    certificate_pem: bytes
    tls_key_pem: bytes = field(repr=False)


def make_enclave_identity() -> EnclaveIdentity:
    """Make the identity of one run (docs/explanation/wire_protocol.md, "Ports")."""
    tls_key = ec.generate_private_key(ec.SECP256R1())
    signing_key = ed25519.Ed25519PrivateKey.generate()
    # Clients of 0.5 do not use the RSA key, but its extension is part of the certificate's form.
    rsa_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    rsa_public = rsa_key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.PKCS1
    )
    certificate = (
        _self_signed(tls_key, _ENCLAVE_COMMON_NAME)
        .add_extension(x509.UnrecognizedExtension(_RSA_KEY_OID, rsa_public), critical=False)
        .add_extension(
            x509.UnrecognizedExtension(
                _SIGNING_KEY_OID, signing_key.public_key().public_bytes_raw()
            ),
            critical=False,
        )
        .sign(tls_key, hashes.SHA256())
    )
    return EnclaveIdentity(
        certificate=certificate.public_bytes(serialization.Encoding.DER),
        certificate_pem=certificate.public_bytes(serialization.Encoding.PEM),
        tls_key_pem=_pem(tls_key),
        signing_key=signing_key,
    )


def open_host_identity(directory: Path) -> HostIdentity:
    """Read the host's certificate and key from `directory`, or make them there.

    Raises:
        ValueError: the two files do not belong together, or one is missing or damaged.
        PermissionError: others may read the key.
    """
    certificate_path = directory / "host_server.pem"
    key_path = directory / "host_server.key"
    if not certificate_path.exists() and not key_path.exists():
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _self_signed(key, SERVER_NAME).sign(key, hashes.SHA256())
        write_private(key_path, _pem(key))
        write_public(certificate_path, certificate.public_bytes(serialization.Encoding.PEM))
    try:
        check_private(key_path)
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate_path, key_path)
    except (ssl.SSLError, FileNotFoundError) as error:
        raise ValueError(
            f"{os.fspath(certificate_path)} and {key_path.name} are not a certificate and its key; "
            "remove both for a new pair"
        ) from error
    return HostIdentity(certificate_path.read_bytes(), key_path.read_bytes())


def _self_signed(key: ec.EllipticCurvePrivateKey, common_name: str) -> x509.CertificateBuilder:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_NOT_BEFORE)
        .not_valid_after(_NOT_AFTER)
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName(SERVER_NAME)]),
            critical=False,
        )
    )


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
