"""The extensions of a certificate or CRL, by object identifier, each at most once."""

from __future__ import annotations

from typing import Final, NamedTuple

from blindai_async.attestation.parsing import EvidenceError
from blindai_async.attestation.x509 import der

__all__ = ["Extension", "read_extensions"]

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
