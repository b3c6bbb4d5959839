"""Certificate revocation lists as templates, issued when they are asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from blindai_async.server.tee.emulated.certificates import distinguished_name
from blindai_async.server.tee.emulated.keys import HASHES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from blindai_async.server.tee.emulated.certificates import CertificateTemplate
    from blindai_async.server.tee.emulated.keys import HashName, PrivateKey

__all__ = ["CrlTemplate", "Crls"]


@dataclass(frozen=True, kw_only=True)
class CrlTemplate:
    """One revocation list, not yet issued. Each field is a knob.

    Attributes:
        last_update: issued at, aware, in whole seconds.
        next_update: the next one is due at.
        revoked: serial numbers of the revoked certificates.
        number: the CRL's own number.
        extra_extensions: triples (dotted OID, critical, content).
        omitted_extensions: dotted OIDs of extensions to leave out.
        issuer: common name written as the issuer's; None takes the issuer's own.
        signing_key: signs in place of the issuer's key: a forgery.
        hash_name: of the signature.
        after_signing: turns the issued DER into what is handed out: tampering.
    """

    last_update: datetime
    next_update: datetime
    revoked: tuple[int, ...] = ()
    number: int = 1
    extra_extensions: tuple[tuple[str, bool, bytes], ...] = ()
    omitted_extensions: frozenset[str] = frozenset()
    issuer: str | None = None
    signing_key: PrivateKey | None = field(default=None, repr=False)
    hash_name: HashName = "sha256"
    after_signing: Callable[[bytes], bytes] | None = None
    _issued: dict[CertificateTemplate, bytes] = field(
        init=False, repr=False, compare=False, default_factory=dict
    )

    def issue(self, by: CertificateTemplate) -> bytes:
        """Issue the list; returns DER. The same list by the same issuer is signed once."""
        if by not in self._issued:
            self._issued.setdefault(by, self._sign(by))
        return self._issued[by]

    def _sign(self, issuer: CertificateTemplate) -> bytes:
        issuer_name = issuer.name
        if self.issuer is not None:
            issuer_name = distinguished_name(self.issuer, issuer.organization)
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(issuer_name)
            .last_update(self.last_update)
            .next_update(self.next_update)
        )
        for extension, critical in self._extensions(issuer):
            if extension.oid.dotted_string not in self.omitted_extensions:
                builder = builder.add_extension(extension, critical)
        for serial_number in self.revoked:
            builder = builder.add_revoked_certificate(self._entry(serial_number))
        crl = builder.sign(self.signing_key or issuer.key, HASHES[self.hash_name])
        der = crl.public_bytes(serialization.Encoding.DER)
        return self.after_signing(der) if self.after_signing else der

    def _extensions(self, issuer: CertificateTemplate) -> Iterator[tuple[x509.ExtensionType, bool]]:
        """Yield the extensions, each with whether it is critical."""
        yield x509.CRLNumber(self.number), False
        yield x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()), False
        for oid, critical, content in self.extra_extensions:
            yield x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), content), critical

    def _entry(self, serial_number: int) -> x509.RevokedCertificate:
        return (
            x509.RevokedCertificateBuilder()
            .serial_number(serial_number)
            .revocation_date(self.last_update)
            .add_extension(x509.CRLReason(x509.ReasonFlags.key_compromise), critical=False)
            .build()
        )


@dataclass(frozen=True, kw_only=True)
class Crls:
    """The two lists that a verifier needs.

    Attributes:
        root: of the root: would name the intermediate or the TCB signer.
        pck: of the intermediate: would name the PCK certificate.
    """

    root: CrlTemplate
    pck: CrlTemplate
