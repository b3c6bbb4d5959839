"""The extensions of a certificate or CRL, by object identifier, each at most once."""

from __future__ import annotations

from typing import Final, NamedTuple

from blindai_async.attestation import der
from blindai_async.attestation.formats import EvidenceError

__all__ = ["Extension", "read_extensions"]

_MAX_EXTENSIONS: Final = 32
_TRUE: Final = b"\xff"


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
    while start < end:
        if len(found) == _MAX_EXTENSIONS:
            raise EvidenceError(f"more than {_MAX_EXTENSIONS} extensions")
        start, stop = der.expect(data, start, end, der.SEQUENCE)
        oid_start, oid_end = der.expect(data, start, stop, der.OID)
        oid = data[oid_start:oid_end]
        if oid in found:
            raise EvidenceError("an extension stands twice")
        tag, value_start, value_end = der.read(data, oid_end, stop)
        critical = tag == der.BOOLEAN
        if critical:
            # DER leaves the default FALSE out, and TRUE has one spelling.
            if data[value_start:value_end] != _TRUE:
                raise EvidenceError("an extension's critical flag is not DER")
            tag, value_start, value_end = der.read(data, value_end, stop)
        if tag != der.OCTET_STRING or value_end != stop:
            raise EvidenceError("an extension's value is not one octet string")
        found[oid] = Extension(critical, data[value_start:value_end])
        start = stop
    return found
