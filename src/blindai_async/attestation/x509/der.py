"""A strict reader of DER, the encoding of certificates and CRLs.

It reads what the SGX profile uses and refuses the rest: multi-byte tags, indefinite and non-minimal
lengths, and anything that runs over its container. What two readers could understand differently
is an attack surface, so nothing is tolerated that a correct encoder would not write.
"""

from __future__ import annotations

from typing import Final, TypeAlias

from blindai_async.attestation.parsing import EvidenceError

__all__ = [
    "BIT_STRING",
    "BOOLEAN",
    "ENUMERATED",
    "INTEGER",
    "OCTET_STRING",
    "OID",
    "SEQUENCE",
    "SET",
    "Element",
    "children",
    "expect",
    "integer",
    "oid_bytes",
    "read",
]

BOOLEAN: Final = 0x01
INTEGER: Final = 0x02
BIT_STRING: Final = 0x03
OCTET_STRING: Final = 0x04
OID: Final = 0x06
ENUMERATED: Final = 0x0A
SEQUENCE: Final = 0x30
SET: Final = 0x31

_MAX_LENGTH_BYTES: Final = 4

Element: TypeAlias = tuple[int, int, int, int]
"""An element's tag, where it starts, where its content starts, and where it ends."""


def read(data: bytes, offset: int, end: int) -> tuple[int, int, int]:
    """Read the header of the element at `offset`: its tag, and where its content starts and ends.

    Args:
        data: the bytes that hold the element.
        offset: where the element's tag stands.
        end: where its container ends; the element must not run over it.

    Raises:
        EvidenceError: there is no whole, canonically encoded element there.
    """
    if offset + 2 > end:
        raise EvidenceError("DER: an element is cut off")
    tag = data[offset]
    if tag & 0x1F == 0x1F:
        raise EvidenceError("DER: multi-byte tags are not used in the SGX profile")
    length = data[offset + 1]
    start = offset + 2
    if length >= 0x80:
        size = length - 0x80
        if not 1 <= size <= _MAX_LENGTH_BYTES or start + size > end:
            raise EvidenceError("DER: a length of this form is not allowed")
        length = int.from_bytes(data[start : start + size])
        if length < 0x80 or length >> 8 * (size - 1) == 0:
            raise EvidenceError("DER: a length is not in its shortest form")
        start += size
    stop = start + length
    if stop > end:
        raise EvidenceError("DER: an element runs over the end of its container")
    return tag, start, stop


def expect(data: bytes, offset: int, end: int, tag: int) -> tuple[int, int]:
    """Read the header of an element that must have this tag; where its content starts and ends."""
    found, start, stop = read(data, offset, end)
    if found != tag:
        raise EvidenceError(f"DER: tag 0x{found:02x} stands where 0x{tag:02x} belongs")
    return start, stop


def children(data: bytes, start: int, end: int) -> list[Element]:
    """List the elements that fill ``data[start:end]``.

    Raises:
        EvidenceError: they are malformed.
    """
    found: list[Element] = []
    while start < end:
        content = start + 2
        # Most elements are short; for them the general reader's call would be half of the time.
        if content <= end and (length := data[start + 1]) < 0x80 and data[start] & 0x1F != 0x1F:
            stop = content + length
            if stop > end:
                raise EvidenceError("DER: an element runs over the end of its container")
            found.append((data[start], start, content, stop))
        else:
            tag, content, stop = read(data, start, end)
            found.append((tag, start, content, stop))
        start = stop
    return found


def integer(content: bytes, limit: int) -> int:
    """Decode the content of an INTEGER or ENUMERATED that lies in 0..`limit`."""
    if not content or (len(content) > 1 and content[0] == 0 and content[1] < 0x80):
        raise EvidenceError("DER: an integer is not in its shortest form")
    if content[0] >= 0x80:
        raise EvidenceError("DER: a negative integer")
    value = int.from_bytes(content)
    if value > limit:
        raise EvidenceError("DER: an integer is larger than its field allows")
    return value


def oid_bytes(dotted: str) -> bytes:
    """Encode an object identifier, given in dotted decimals, as the content of an OID element."""
    first, second, *rest = (int(arc) for arc in dotted.split("."))
    encoded = bytearray()
    for arc in (first * 40 + second, *rest):
        groups = [arc & 0x7F]
        while arc := arc >> 7:
            groups.append(0x80 | arc & 0x7F)
        encoded += bytes(reversed(groups))
    return bytes(encoded)
