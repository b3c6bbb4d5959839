"""A writer of DER, as much of it as the SGX extension of a PCK certificate needs.

Every function returns one whole element: tag, length, content (ITU-T X.690, section 10). There is
deliberately no reader here: what the platform writes is read by others.
"""

from __future__ import annotations

__all__ = [
    "boolean",
    "element",
    "enumerated",
    "integer",
    "object_identifier",
    "octet_string",
    "sequence",
]

_BOOLEAN, _INTEGER, _OCTET_STRING, _OBJECT_IDENTIFIER = 0x01, 0x02, 0x04, 0x06
_ENUMERATED, _SEQUENCE = 0x0A, 0x30


def element(tag: int, content: bytes) -> bytes:
    """Write one element of any single-byte tag, its length in the shortest form."""
    return bytes([tag]) + _length(len(content)) + content


def boolean(value: bool) -> bytes:
    """Write a BOOLEAN; DER knows 0xFF alone for true."""
    return element(_BOOLEAN, b"\xff" if value else b"\x00")


def integer(value: int) -> bytes:
    """Write an INTEGER: two's complement in the fewest bytes, of any size and sign."""
    return element(_INTEGER, _twos_complement(value))


def enumerated(value: int) -> bytes:
    """Write an ENUMERATED, whose content is that of an INTEGER."""
    return element(_ENUMERATED, _twos_complement(value))


def octet_string(value: bytes) -> bytes:
    """Write an OCTET STRING."""
    return element(_OCTET_STRING, value)


def object_identifier(dotted: str) -> bytes:
    """Write an OBJECT IDENTIFIER given in dotted decimal, such as ``1.2.840.113741.1.13.1``.

    Raises:
        ValueError: fewer than two arcs, or a first or second arc out of its range.
    """
    first, second, *rest = (int(arc) for arc in dotted.split("."))
    if not 0 <= first <= 2 or second < 0 or (first < 2 and second > 39):
        raise ValueError(f"{dotted!r} is not an object identifier")
    return element(_OBJECT_IDENTIFIER, b"".join(map(_base128, (40 * first + second, *rest))))


def sequence(*elements: bytes) -> bytes:
    """Write a SEQUENCE of elements that are already written."""
    return element(_SEQUENCE, b"".join(elements))


def _length(size: int) -> bytes:
    if size < 0x80:
        return bytes([size])
    digits = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([0x80 | len(digits)]) + digits


def _twos_complement(value: int) -> bytes:
    # One bit more than the magnitude, for the sign; ~value has the magnitude of a negative one.
    bits = (value if value >= 0 else ~value).bit_length() + 1
    return value.to_bytes((bits + 7) // 8, "big", signed=True)


def _base128(arc: int) -> bytes:
    if arc < 0:
        raise ValueError("an arc of an object identifier is not negative")
    groups = [arc & 0x7F]
    while arc := arc >> 7:
        groups.append(0x80 | arc & 0x7F)
    return bytes(reversed(groups))
