"""The few parts of the protobuf encoding that carrying tensors without copies needs.

The generated classes copy every `bytes` field at each level: a reply of 100 MB would be copied
three times before its first number is read. Here a message is walked in place, and a field is a
span of the buffer that it came in. Source: the "Encoding" page of the protobuf documentation.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

VARINT, FIXED64, LENGTH_DELIMITED, FIXED32 = 0, 1, 2, 5

_MAX_VARINT_BYTES = 10
_MAX_FIELDS = 4096
_BEGIN_WITH_A_VARINT = (LENGTH_DELIMITED, VARINT)
_FIXED_WIDTH = {FIXED64: 8, FIXED32: 4}


class WireFormatError(ValueError):
    """The bytes are not a well-formed protobuf message."""


class Field(NamedTuple):
    """One field of a message, as it stands in the buffer.

    Attributes:
        number: the field's number.
        wire_type: `VARINT`, `LENGTH_DELIMITED`, …
        value: a varint's value; 0 for the other wire types.
        start: where the field's content begins in the buffer (not for varints).
        stop: where it ends.
    """

    number: int
    wire_type: int
    value: int
    start: int
    stop: int


def varint(value: int) -> bytes:
    """Encode a non-negative integer as a varint."""
    if value < 0x80:
        return bytes((value,))
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def read_varint(buffer: bytes, position: int, stop: int) -> tuple[int, int]:
    """Read the varint at `position`; returns its value (unsigned, 64 bits) and where it ends.

    Raises:
        WireFormatError: it does not end before `stop`, or is longer than any varint.
    """
    if position < stop and buffer[position] < 0x80:
        return buffer[position], position + 1
    value = shift = 0
    for index in range(position, min(stop, position + _MAX_VARINT_BYTES)):
        byte = buffer[index]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, index + 1
        shift += 7
    raise WireFormatError(f"a varint at byte {position} does not end")


def fields(buffer: bytes, start: int, stop: int, at_most: int = _MAX_FIELDS) -> list[Field]:
    """Find the fields of the message at ``buffer[start:stop]``, in place.

    A hostile message of two-byte fields would otherwise cost a hundred times its size in memory,
    and seconds of the event loop for each few megabytes.

    Raises:
        WireFormatError: a field that is cut off, or of a wire type that proto3 does not have; or
            more fields than `at_most`.
    """
    # This is done several times for every reply: most numbers are of one byte, and are read here.
    found: list[Field] = []
    position = start
    while position < stop:
        if len(found) == at_most:
            raise WireFormatError(f"a message of more than {at_most} fields")
        tag = buffer[position]
        if tag < 0x80:
            position += 1
        else:
            tag, position = read_varint(buffer, position, stop)
        number, wire_type = tag >> 3, tag & 7
        if number == 0:
            raise WireFormatError(f"field number 0 before byte {position}")
        if wire_type in _BEGIN_WITH_A_VARINT:
            if position < stop and buffer[position] < 0x80:
                value = buffer[position]
                position += 1
            else:
                value, position = read_varint(buffer, position, stop)
            if wire_type == VARINT:
                found.append(_field((number, wire_type, value, position, position)))
                continue
            length = value
        elif wire_type in _FIXED_WIDTH:
            length = _FIXED_WIDTH[wire_type]
        else:
            raise WireFormatError(f"wire type {wire_type} before byte {position}")
        if length > stop - position:
            raise WireFormatError(f"a field of {length} bytes at byte {position} is cut off")
        found.append(_field((number, wire_type, 0, position, position + length)))
        position += length
    return found


# What `Field(...)` does, at half of its cost.
_field = partial(tuple.__new__, Field)
