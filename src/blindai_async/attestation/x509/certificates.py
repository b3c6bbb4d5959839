"""Certificates of the SGX profile: X.509 version 3, P-256, ECDSA with SHA-256, and nothing else.

Source: "Intel SGX PCK Certificate and CRL Profile Specification". `cryptography` parses each
certificate and checks its signature; names, serial number and extensions are read by our own DER
reader from the very bytes that are signed, because the profile is narrower than X.509: a serial
number that is not positive, another algorithm or an unknown critical extension is refused here
before a general parser has to make something of it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from blindai_async.attestation.parsing import MAX_CHAIN_CHARS, EvidenceError
from blindai_async.attestation.x509 import der
from blindai_async.attestation.x509.extensions import (
    BASIC_CONSTRAINTS,
    KEY_USAGE,
    PROFILE_EXTENSIONS,
    Extension,
    basic_constraints,
    check_extended_key_usage,
    key_usage,
    read_extensions,
)
from blindai_async.attestation.x509.pem import CERTIFICATE, read_pem

if TYPE_CHECKING:
    from datetime import datetime

__all__ = [
    "CRL_SIGN",
    "DIGITAL_SIGNATURE",
    "ECDSA_WITH_SHA256",
    "KEY_CERT_SIGN",
    "MAX_SERIAL",
    "POINT_BYTES",
    "SGX_EXTENSION",
    "Certificate",
    "common_name",
    "parse_certificate",
    "parse_issuer",
    "split_chain",
    "split_issuers",
    "split_signed",
    "verify_signature",
]

DIGITAL_SIGNATURE: Final = 0x80
KEY_CERT_SIGN: Final = 0x04
CRL_SIGN: Final = 0x02

POINT_BYTES: Final = 65
"""An uncompressed P-256 point: 0x04, x, y."""
MAX_SERIAL: Final = 2**160 - 1
"""A serial number has at most 20 bytes (RFC 5280, 4.1.2.2)."""
ECDSA_WITH_SHA256: Final = bytes.fromhex("300a06082a8648ce3d040302")
"""The whole AlgorithmIdentifier, with no parameters."""

SGX_EXTENSION: Final = der.oid_bytes("1.2.840.113741.1.13.1")

_P256_KEY_PREFIX: Final = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200")
_UNDERSTOOD: Final = frozenset({BASIC_CONSTRAINTS, KEY_USAGE, SGX_EXTENSION})
_COMMON_NAME: Final = der.oid_bytes("2.5.4.3")
_STRING_TAGS: Final = frozenset({0x0C, 0x13})  # UTF8String, PrintableString

_VERSION_3: Final = bytes.fromhex("a003020102")
_FIELD_TAGS: Final = bytes([0xA0, der.INTEGER, *[der.SEQUENCE] * 5, 0xA3])
_MAX_CHAIN_CERTIFICATES: Final = 4

_ECDSA_SHA256: Final = ec.ECDSA(hashes.SHA256())


class Certificate(NamedTuple):
    """One certificate, read but not yet verified.

    Attributes:
        der: the whole certificate.
        signed_part: what the signature covers.
        signature: the ECDSA signature, DER.
        serial: a positive number.
        subject: the subject's name, DER.
        issuer: the issuer's name, DER.
        name: the subject's common name.
        not_before: the first moment of its validity.
        not_after: the last second of its validity.
        key: the subject's public key, on P-256.
        point: the same key as an uncompressed point, 65 bytes.
        is_ca: whether it may issue certificates.
        path_length: how many CAs may stand between it and a leaf; None for no limit.
        key_usage: what the key may do, bits such as `KEY_CERT_SIGN`; None where it does not say.
        sgx_extension: the value of the SGX extension, or None.
        has_profile_extensions: whether it has every extension that the profile demands.
    """

    der: bytes
    signed_part: bytes
    signature: bytes
    serial: int
    subject: bytes
    issuer: bytes
    name: str
    not_before: datetime
    not_after: datetime
    key: ec.EllipticCurvePublicKey
    point: bytes
    is_ca: bool
    path_length: int | None
    key_usage: int | None
    sgx_extension: bytes | None
    has_profile_extensions: bool

    @property
    def is_self_issued(self) -> bool:
        """Whether it names itself as its issuer, as a root does."""
        return self.issuer == self.subject

    def is_signed_by(self, issuer: Certificate) -> bool:
        """Tell whether the issuer's name stands in it and the issuer's key has signed it."""
        return self.issuer == issuer.subject and verify_signature(
            issuer.key, self.signature, self.signed_part
        )


def verify_signature(key: ec.EllipticCurvePublicKey, signature: bytes, message: bytes) -> bool:
    """Tell whether a DER signature is the key's ECDSA-SHA256 signature of the message."""
    try:
        key.verify(signature, message, _ECDSA_SHA256)
    except InvalidSignature:
        return False
    return True


def split_chain(pem: str) -> list[bytes]:
    """Split a PEM chain into its certificates, DER, in the order in which they stand."""
    return read_pem(pem, CERTIFICATE, max_chars=MAX_CHAIN_CHARS, max_blocks=_MAX_CHAIN_CERTIFICATES)


@lru_cache(maxsize=32)
def split_issuers(pem: str) -> tuple[bytes, ...]:
    """Split a PEM chain as `split_chain` does, once in a process: see `parse_issuer`."""
    return tuple(split_chain(pem))


class _SignedPart(NamedTuple):
    serial: int
    issuer: bytes
    subject: bytes
    point: bytes
    extensions: dict[bytes, Extension]


def parse_certificate(data: bytes) -> Certificate:
    """Read one certificate of the SGX profile from its DER bytes; verify nothing.

    Raises:
        EvidenceError: it is malformed, or not of the profile.
    """
    signed_part, signature = split_signed(data)
    content = _read_signed_part(signed_part)
    try:
        parsed = x509.load_der_x509_certificate(data)
        key = parsed.public_key()
        not_before, not_after = parsed.not_valid_before_utc, parsed.not_valid_after_utc
    except (ValueError, x509.InvalidVersion, UnsupportedAlgorithm) as error:
        raise EvidenceError("a certificate cannot be read") from error
    check_extended_key_usage(content.extensions)
    is_ca, path_length = basic_constraints(content.extensions)
    sgx = content.extensions.get(SGX_EXTENSION)
    return Certificate(
        der=data,
        signed_part=signed_part,
        signature=signature,
        serial=content.serial,
        subject=content.subject,
        issuer=content.issuer,
        name=common_name(content.subject),
        not_before=not_before,
        not_after=not_after,
        # The key's encoding was compared byte for byte, so it is no other kind of key.
        key=cast("ec.EllipticCurvePublicKey", key),
        point=content.point,
        is_ca=is_ca,
        path_length=path_length,
        key_usage=key_usage(content.extensions),
        sgx_extension=None if sgx is None else sgx.value,
        has_profile_extensions=content.extensions.keys() >= PROFILE_EXTENSIONS,
    )


@lru_cache(maxsize=64)
def parse_issuer(data: bytes) -> Certificate:
    """Read a certificate as `parse_certificate` does; for those that sign for many platforms.

    The root, the platform CAs and the TCB signer stand in the evidence of every platform, so they
    are read once in a process. Only the reading is remembered: what they sign, and who signed
    them, is checked in every verification.
    """
    return parse_certificate(data)


def split_signed(data: bytes) -> tuple[bytes, bytes]:
    """Split a signed X.509 structure (a certificate or a CRL) into signed part and signature.

    Raises:
        EvidenceError: it is something else, or not signed with ECDSA-SHA256.
    """
    start, end = der.expect(data, 0, len(data), der.SEQUENCE)
    if end != len(data):
        raise EvidenceError("bytes follow a certificate or CRL")
    _, signed_end = der.expect(data, start, end, der.SEQUENCE)
    algorithm_end = signed_end + len(ECDSA_WITH_SHA256)
    if data[signed_end:algorithm_end] != ECDSA_WITH_SHA256:
        raise EvidenceError("a certificate or CRL is not signed with ECDSA and SHA-256")
    bits, bits_end = der.expect(data, algorithm_end, end, der.BIT_STRING)
    if bits_end != end or bits == bits_end or data[bits] != 0:
        raise EvidenceError("a signature is not a bit string of whole bytes")
    return data[start:signed_end], data[bits + 1 : bits_end]


def _read_signed_part(data: bytes) -> _SignedPart:
    start, end = der.expect(data, 0, len(data), der.SEQUENCE)
    if data[start : start + len(_VERSION_3)] != _VERSION_3:
        raise EvidenceError("a certificate is not of version 3")
    fields = der.children(data, start, end)
    if bytes([field[0] for field in fields]) != _FIELD_TAGS:
        raise EvidenceError("a certificate does not have the fields of the profile")
    _, serial, algorithm, issuer, _, subject, key, extensions = fields
    if data[algorithm[1] : algorithm[3]] != ECDSA_WITH_SHA256:
        raise EvidenceError("a certificate's two algorithms differ")
    key_bytes = data[key[1] : key[3]]
    point = key_bytes[len(_P256_KEY_PREFIX) :]
    if not key_bytes.startswith(_P256_KEY_PREFIX) or len(point) != POINT_BYTES or point[0] != 4:
        raise EvidenceError("a certificate's key is not an uncompressed point on P-256")
    found = read_extensions(data, extensions[2], extensions[3])
    if any(extension.critical and oid not in _UNDERSTOOD for oid, extension in found.items()):
        raise EvidenceError("a certificate has a critical extension that is not understood")
    number = der.integer(data[serial[2] : serial[3]], MAX_SERIAL)
    if number == 0:
        raise EvidenceError("a certificate's serial number is zero")
    return _SignedPart(
        number, data[issuer[1] : issuer[3]], data[subject[1] : subject[3]], point, found
    )


@lru_cache(maxsize=64)
def common_name(name: bytes) -> str:
    """Read the one common name in a DER name; the same few names return in every certificate.

    Raises:
        EvidenceError: there is none, or more than one.
    """
    start, end = der.expect(name, 0, len(name), der.SEQUENCE)
    found = []
    for set_tag, _, set_start, set_end in der.children(name, start, end):
        for pair_tag, _, pair_start, pair_end in der.children(name, set_start, set_end):
            pair = der.children(name, pair_start, pair_end)
            if (set_tag, pair_tag) != (der.SET, der.SEQUENCE) or len(pair) != 2:
                raise EvidenceError("a name is malformed")
            (oid_tag, _, oid_start, oid_end), (value_tag, _, value_start, value_end) = pair
            if oid_tag == der.OID and name[oid_start:oid_end] == _COMMON_NAME:
                if value_tag not in _STRING_TAGS:
                    raise EvidenceError("a common name is not a string")
                found.append(name[value_start:value_end])
    if len(found) != 1 or not found[0].isascii():
        raise EvidenceError("a name does not have exactly one common name in ASCII")
    return found[0].decode("ascii")
