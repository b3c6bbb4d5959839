"""The extensions of a certificate or CRL, by object identifier, each at most once."""

from __future__ import annotations

from typing import Final, NamedTuple

from blindai_async.attestation.parsing import EvidenceError
from blindai_async.attestation.x509 import der

__all__ = [
    "BASIC_CONSTRAINTS",
    "KEY_USAGE",
    "PROFILE_EXTENSIONS",
    "Extension",
    "basic_constraints",
    "check_extended_key_usage",
    "key_usage",
    "read_extensions",
]

BASIC_CONSTRAINTS: Final = der.oid_bytes("2.5.29.19")
KEY_USAGE: Final = der.oid_bytes("2.5.29.15")
PROFILE_EXTENSIONS: Final = frozenset(
    {
        der.oid_bytes("2.5.29.35"),  # authority key identifier
        der.oid_bytes("2.5.29.31"),  # CRL distribution points
        der.oid_bytes("2.5.29.14"),  # subject key identifier
        KEY_USAGE,
        BASIC_CONSTRAINTS,
    }
)
"""What every certificate of Intel's has ("SGX PCK Certificate and CRL Profile", 1.3)."""


_EXTENDED_KEY_USAGE: Final = der.oid_bytes("2.5.29.37")
_MAX_PATH_LENGTH: Final = 255
_MAX_PARTS: Final = 3  # identifier, critical flag where it is set, value
_TRUE: Final = b"\x01\x01\xff"


class Extension(NamedTuple):
    """One extension: whether a reader must understand it, and its undecoded value."""

    critical: bool
    value: bytes


def read_extensions(data: bytes, start: int, end: int) -> dict[bytes, Extension]:
    """Read the SEQUENCE of extensions that fills ``data[start:end]``.

    Returns:
        The extensions by the content bytes of their object identifiers.

    Raises:
        EvidenceError: malformed, or one identifier twice: which of the two counts would be
            every reader's own guess.
    """
    start, stop = der.expect(data, start, end, der.SEQUENCE)
    if stop != end:
        raise EvidenceError("bytes follow the extensions")
    found: dict[bytes, Extension] = {}
    for tag, _, content, stop in der.children(data, start, end):
        parts = der.children(data, content, stop)
        if tag != der.SEQUENCE or not 2 <= len(parts) <= _MAX_PARTS or parts[0][0] != der.OID:
            raise EvidenceError("an extension is malformed")
        oid = data[parts[0][2] : parts[0][3]]
        if oid in found:
            raise EvidenceError("an extension stands twice")
        critical = len(parts) == _MAX_PARTS
        # DER leaves the default FALSE out, and TRUE has one spelling.
        if critical and data[parts[1][1] : parts[1][3]] != _TRUE:
            raise EvidenceError("an extension's critical flag is not DER")
        if parts[-1][0] != der.OCTET_STRING:
            raise EvidenceError("an extension's value is not an octet string")
        found[oid] = Extension(critical, data[parts[-1][2] : parts[-1][3]])
    return found


def basic_constraints(extensions: dict[bytes, Extension]) -> tuple[bool, int | None]:
    """Read whether a certificate is a CA's, and how many CAs may stand below it."""
    extension = extensions.get(BASIC_CONSTRAINTS)
    if extension is None:
        return False, None
    data = extension.value
    start, end = der.expect(data, 0, len(data), der.SEQUENCE)
    if end != len(data):
        raise EvidenceError("bytes follow the basic constraints")
    if start == end:
        return False, None
    flag, flag_end = der.expect(data, start, end, der.BOOLEAN)
    if data[flag:flag_end] != b"\xff":
        raise EvidenceError("the basic constraints' CA flag is not DER")
    if flag_end == end:
        return True, None
    length, length_end = der.expect(data, flag_end, end, der.INTEGER)
    if length_end != end:
        raise EvidenceError("the basic constraints have unknown fields")
    return True, der.integer(data[length:length_end], _MAX_PATH_LENGTH)


def key_usage(extensions: dict[bytes, Extension]) -> int | None:
    """Read what a certificate's key may do, as bits; None where it does not say."""
    extension = extensions.get(KEY_USAGE)
    if extension is None:
        return None
    data = extension.value
    start, end = der.expect(data, 0, len(data), der.BIT_STRING)
    # One octet says how many bits are unused, then one octet of bits (two with decipherOnly).
    if end != len(data) or end - start not in (2, 3) or data[start] > 7:
        raise EvidenceError("a key usage is malformed")
    return data[start + 1]


def check_extended_key_usage(extensions: dict[bytes, Extension]) -> None:
    """Demand that an extended key usage, where there is one, names at least one purpose.

    The profile has none, so that its purposes restrict nothing here. One that cannot be read is
    refused all the same: another reader might take it for a restriction (RFC 5280, 4.2.1.12).
    """
    extension = extensions.get(_EXTENDED_KEY_USAGE)
    if extension is None:
        return
    data = extension.value
    start, end = der.expect(data, 0, len(data), der.SEQUENCE)
    purposes = der.children(data, start, end)
    if end != len(data) or not purposes or any(tag != der.OID for tag, *_ in purposes):
        raise EvidenceError("an extended key usage is malformed")
