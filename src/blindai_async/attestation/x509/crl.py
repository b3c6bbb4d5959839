"""Certificate revocation lists of the SGX profile, PEM or DER in hex."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from blindai_async.attestation.parsing import MAX_CRL_CHARS, EvidenceError
from blindai_async.attestation.x509 import der
from blindai_async.attestation.x509.certificates import (
    ECDSA_WITH_SHA256,
    Certificate,
    split_signed,
    verify_signature,
)
from blindai_async.attestation.x509.extensions import read_extensions
from blindai_async.attestation.x509.pem import CRL, read_pem

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["RevocationList", "parse_crl"]

_VERSION_2: Final = bytes.fromhex("020101")
_EXTENSIONS_TAG: Final = 0xA0
_TIME_TAGS: Final = frozenset({0x17, 0x18})  # UTCTime, GeneralizedTime
_CRL_NUMBER: Final = der.oid_bytes("2.5.29.20")
_AUTHORITY_KEY: Final = der.oid_bytes("2.5.29.35")
_REQUIRED: Final = frozenset({_CRL_NUMBER, _AUTHORITY_KEY})
_PARTIAL: Final = frozenset(
    {
        der.oid_bytes("2.5.29.28"),  # issuing distribution point: only some certificates
        der.oid_bytes("2.5.29.27"),  # delta indicator: only changes
    }
)


class RevocationList(NamedTuple):
    """One CRL, read but not yet verified.

    Attributes:
        issuer: the issuer's name, DER.
        last_update: when it was issued.
        next_update: when a newer one is due; it counts no longer after that.
        signed_part: what the signature covers.
        signature: the ECDSA signature, DER.
        parsed: the list itself.
    """

    issuer: bytes
    last_update: datetime
    next_update: datetime
    signed_part: bytes
    signature: bytes
    parsed: x509.CertificateRevocationList

    def is_signed_by(self, issuer: Certificate) -> bool:
        """Tell whether the issuer's name stands in it and the issuer's key has signed it."""
        return self.issuer == issuer.subject and verify_signature(
            issuer.key, self.signature, self.signed_part
        )

    def revokes(self, certificate: Certificate) -> bool:
        """Tell whether the certificate's serial number is listed, for whatever reason."""
        return self.parsed.get_revoked_certificate_by_serial_number(certificate.serial) is not None


def parse_crl(text: str) -> RevocationList:
    """Read one CRL, PEM or DER in hex; verify nothing.

    Raises:
        EvidenceError: it is neither, malformed, or not of the profile: a list that covers
            only some certificates, or only changes, would leave a revoked one unseen.
    """
    data = _crl_bytes(text)
    signed_part, signature = split_signed(data)
    issuer = _read_issuer(signed_part)
    try:
        parsed = x509.load_der_x509_crl(data)
        last_update, next_update = parsed.last_update_utc, parsed.next_update_utc
    except (ValueError, x509.InvalidVersion, UnsupportedAlgorithm) as error:
        raise EvidenceError("a CRL cannot be read") from error
    if next_update is None:
        raise EvidenceError("a CRL does not say when the next one is due")
    return RevocationList(issuer, last_update, next_update, signed_part, signature, parsed)


def _crl_bytes(text: str) -> bytes:
    if len(text) > MAX_CRL_CHARS:
        raise EvidenceError(f"a CRL has more than {MAX_CRL_CHARS} characters")
    try:
        data = bytes.fromhex(text)
    except ValueError:  # the hyphens of PEM are not hex
        return read_pem(text, CRL, max_chars=MAX_CRL_CHARS, max_blocks=1)[0]
    if 2 * len(data) != len(text):
        raise EvidenceError("a CRL in hex has something else than digits in it")
    return data


def _read_issuer(signed_part: bytes) -> bytes:
    start, end = der.expect(signed_part, 0, len(signed_part), der.SEQUENCE)
    if signed_part[start : start + len(_VERSION_2)] != _VERSION_2:
        raise EvidenceError("a CRL is not of version 2")
    fields = der.children(signed_part, start, end)
    tags = [field[0] for field in fields]
    # version, algorithm, issuer, two times, the entries where there are any, and the extensions
    if (
        tags[1:3] != [der.SEQUENCE, der.SEQUENCE]
        or len(tags) < 6
        or not _TIME_TAGS.issuperset(tags[3:5])
        or tags[5:] not in ([der.SEQUENCE, _EXTENSIONS_TAG], [_EXTENSIONS_TAG])
    ):
        raise EvidenceError("a CRL does not have the fields of the profile")
    if signed_part[fields[1][1] : fields[1][3]] != ECDSA_WITH_SHA256:
        raise EvidenceError("a CRL's two algorithms differ")
    extensions = read_extensions(signed_part, fields[-1][2], fields[-1][3])
    if any(extension.critical and oid not in _REQUIRED for oid, extension in extensions.items()):
        raise EvidenceError("a CRL has a critical extension that is not understood")
    # Both have to be critical (RFC 5280, 5.2.4 and 5.2.5). A list that is partial and does not say
    # so critically would leave a revoked certificate unseen all the same.
    if extensions.keys() & _PARTIAL:
        raise EvidenceError("a CRL covers only some certificates, or only changes")
    if not extensions.keys() >= _REQUIRED:
        raise EvidenceError("a CRL lacks its number or its authority key identifier")
    return signed_part[fields[2][1] : fields[2][3]]
