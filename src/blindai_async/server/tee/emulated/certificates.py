"""Certificates as templates: a description to be changed at will, issued when it is asked for.

Names and extensions follow the Intel SGX PCK Certificate and CRL Profile. Only the organization
says otherwise, so that nobody takes an emulated certificate for one of Intel's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import NameOID

from blindai_async.server.tee.emulated import pem
from blindai_async.server.tee.emulated.keys import HASHES
from blindai_async.server.tee.emulated.sgx_extension import SGX_EXTENSION_OID, SgxExtension

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from blindai_async.server.tee.emulated.keys import HashName, PrivateKey

__all__ = [
    "CA_USAGE",
    "LEAF_USAGE",
    "ORGANIZATION",
    "CertificateTemplate",
    "distinguished_name",
    "key_usage",
]

ORGANIZATION = "Emulated platform, not Intel"
CA_USAGE = frozenset({"key_cert_sign", "crl_sign"})
LEAF_USAGE = frozenset({"digital_signature", "content_commitment"})

_USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


def distinguished_name(common_name: str, organization: str = ORGANIZATION) -> x509.Name:
    """Return the name of a certificate or CRL, attributes in the order in which Intel has them."""
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization),
            x509.NameAttribute(NameOID.LOCALITY_NAME, "Santa Clara"),
            x509.NameAttribute(NameOID.STATE_OR_PROVINCE_NAME, "CA"),
            x509.NameAttribute(NameOID.COUNTRY_NAME, "US"),
        ]
    )


def key_usage(names: frozenset[str]) -> x509.KeyUsage:
    """Return the extension that allows these uses and no other."""
    return x509.KeyUsage(**{name: name in names for name in _USAGES})


@dataclass(frozen=True, kw_only=True)
class CertificateTemplate:
    """One certificate, not yet issued. Each field is a knob; the defaults are those of a leaf.

    Attributes:
        key: the subject's key pair; ``new_key(ec.SECP384R1())`` for a wrong curve.
        subject: common name.
        serial_number: positive, at most 20 bytes.
        not_before: start of validity, aware, in whole seconds.
        not_after: end of validity, inclusive.
        organization: of the subject.
        issuer: common name written as the issuer's; None takes the issuer's own.
        ca: the CA flag; None leaves the basic constraints out.
        path_length: of a CA; None for no limit.
        key_usage: names of `cryptography.x509.KeyUsage`; None leaves the extension out.
        crl_distribution_point: a URI, or None for none.
        key_identifiers: whether the subject and authority key identifiers are there.
        sgx_extension: None leaves it out; bytes stand as the extension's content as they are.
        extra_extensions: triples (dotted OID, critical, content).
        omitted_extensions: dotted OIDs of extensions to leave out.
        signing_key: signs in place of the issuer's key: a forgery.
        hash_name: of the signature.
        after_signing: turns the issued DER into what is handed out: tampering.
    """

    key: PrivateKey = field(repr=False)
    subject: str
    serial_number: int
    not_before: datetime
    not_after: datetime
    organization: str = ORGANIZATION
    issuer: str | None = None
    ca: bool | None = False
    path_length: int | None = None
    key_usage: frozenset[str] | None = LEAF_USAGE
    crl_distribution_point: str | None = None
    key_identifiers: bool = True
    sgx_extension: SgxExtension | bytes | None = None
    extra_extensions: tuple[tuple[str, bool, bytes], ...] = ()
    omitted_extensions: frozenset[str] = frozenset()
    signing_key: PrivateKey | None = field(default=None, repr=False)
    hash_name: HashName = "sha256"
    after_signing: Callable[[bytes], bytes] | None = None
    _issued: dict[CertificateTemplate, bytes] = field(
        init=False, repr=False, compare=False, default_factory=dict
    )

    @property
    def name(self) -> x509.Name:
        """The subject's distinguished name."""
        return distinguished_name(self.subject, self.organization)

    def issue(self, by: CertificateTemplate | None = None) -> bytes:
        """Issue the certificate by another, or by itself; returns DER.

        The same template by the same issuer is the same certificate, signed once.
        """
        issuer = by or self
        if issuer not in self._issued:
            self.remember(self._sign(issuer), by=issuer)
        return self._issued[issuer]

    def remember(self, certificate: bytes, *, by: CertificateTemplate | None = None) -> None:
        """Take a certificate issued earlier for what `issue` returns, if there is none yet."""
        # setdefault is atomic: threads that issue at once all hand out the same certificate.
        self._issued.setdefault(by or self, certificate)

    def pem(self, by: CertificateTemplate | None = None) -> str:
        """Issue the certificate and wrap it in PEM."""
        return pem.armour(pem.CERTIFICATE, self.issue(by))

    def _sign(self, issuer: CertificateTemplate) -> bytes:
        issuer_name = issuer.name
        if self.issuer is not None:
            issuer_name = distinguished_name(self.issuer, issuer.organization)
        builder = (
            x509.CertificateBuilder()
            .subject_name(self.name)
            .issuer_name(issuer_name)
            .public_key(self.key.public_key())
            .serial_number(self.serial_number)
            .not_valid_before(self.not_before)
            .not_valid_after(self.not_after)
        )
        for extension, critical in self._extensions(issuer):
            if extension.oid.dotted_string not in self.omitted_extensions:
                builder = builder.add_extension(extension, critical)
        certificate = builder.sign(self.signing_key or issuer.key, HASHES[self.hash_name])
        der = certificate.public_bytes(serialization.Encoding.DER)
        return self.after_signing(der) if self.after_signing else der

    def _extensions(self, issuer: CertificateTemplate) -> Iterator[tuple[x509.ExtensionType, bool]]:
        """Yield the extensions, each with whether it is critical, in Intel's order."""
        if self.key_identifiers:
            authority = issuer.key.public_key()
            yield x509.AuthorityKeyIdentifier.from_issuer_public_key(authority), False
        if self.crl_distribution_point is not None:
            uri = x509.UniformResourceIdentifier(self.crl_distribution_point)
            point = x509.DistributionPoint([uri], None, None, None)
            yield x509.CRLDistributionPoints([point]), False
        if self.key_identifiers:
            yield x509.SubjectKeyIdentifier.from_public_key(self.key.public_key()), False
        if self.key_usage is not None:
            yield key_usage(self.key_usage), True
        if self.ca is not None:
            yield x509.BasicConstraints(self.ca, self.path_length if self.ca else None), True
        if self.sgx_extension is not None:
            yield _unrecognized(SGX_EXTENSION_OID, self.sgx_extension), False
        for oid, critical, content in self.extra_extensions:
            yield _unrecognized(oid, content), critical


def _unrecognized(oid: str, content: SgxExtension | bytes) -> x509.UnrecognizedExtension:
    value = content.encode() if isinstance(content, SgxExtension) else content
    return x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), value)
