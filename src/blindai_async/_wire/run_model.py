"""The reply to RunModel, read in place: its outputs are views of the bytes that arrived.

`RunModelReply { bytes payload = 1; bytes signature = 2 }`, the payload being a serialized
`Payload { PayloadHeader header = 1; oneof { … = 2; RunModelPayload run_model_payload = 3 } }` and
`RunModelPayload { bytes input_hash = 1; string model_id = 2;
repeated TensorData output_tensors = 3; uint64 inference_time = 4 }`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from blindai_async._wire.protobuf import (
    LENGTH_DELIMITED,
    VARINT,
    Field,
    WireFormatError,
    fields,
    read_varint,
)
from blindai_async._wire.tensor_data import read_tensor_data
from blindai_async.errors import ProofFormatError, TensorError

if TYPE_CHECKING:
    from blindai_async.tensors.tensor import Tensor

_SEND_MODEL_PAYLOAD, _RUN_MODEL_PAYLOAD = 2, 3
_MAX_ID_BYTES = 4096

# What is read in one go is small, whatever a hostile peer makes of it.
_MAX_USUAL, _MAX_USUAL_OUTPUTS = 1 << 16, 64

# The known fields of each message, and their wire types.
_REPLY = {1: LENGTH_DELIMITED, 2: LENGTH_DELIMITED}
_PAYLOAD = {1: LENGTH_DELIMITED, 2: LENGTH_DELIMITED, 3: LENGTH_DELIMITED}
_PREDICTION = {1: LENGTH_DELIMITED, 2: LENGTH_DELIMITED, 3: LENGTH_DELIMITED, 4: VARINT}


class RunModelPayload(NamedTuple):
    """What a prediction's payload says.

    Attributes:
        input_hash: SHA-256 of the inputs' bytes; empty in an unsigned reply.
        model_id: the model that was run; "" in an unsigned reply.
        outputs: the model's outputs, views of the buffer that was read.
        inference_time: milliseconds, or 0.
    """

    input_hash: bytes
    model_id: str
    outputs: list[Tensor]
    inference_time: int


def read_usual_reply(reply: bytes) -> tuple[tuple[int, int], RunModelPayload] | None:
    """Read an unsigned prediction in the form in which servers write it, in one go.

    Nearly every small call ends with this: `split_reply` and `read_run_model_payload`, which know
    every form there may be, take thrice as long. What has another form, be it good or bad, is left
    to them, and so is what an error says.

    Returns:
        The payload's span and what it says, as those two tell it; None for every other form.
    """
    stop = len(reply)
    if stop > _MAX_USUAL:
        return None
    try:
        start = position = _enter(reply, 0, 0x0A, stop)  # RunModelReply.payload
        if reply[position] == 0x0A:  # Payload.header, which is not read
            length, position = read_varint(reply, position + 1, stop)
            position += length
        position = _enter(reply, position, 0x1A, stop)  # Payload.run_model_payload
        outputs: list[Tensor] = []
        while position < stop and reply[position] == 0x1A:  # RunModelPayload.output_tensors
            length, position = read_varint(reply, position + 1, stop)
            if length > stop - position or len(outputs) == _MAX_USUAL_OUTPUTS:
                return None
            outputs.append(read_tensor_data(reply, position, position + length))
            position += length
        inference_time = 0
        if position < stop and reply[position] == 0x20:  # RunModelPayload.inference_time
            inference_time, position = read_varint(reply, position + 1, stop)
    except (WireFormatError, TensorError, IndexError):
        return None
    if position != stop:
        return None
    return (start, stop), RunModelPayload(b"", "", outputs, inference_time)


def _enter(buffer: bytes, position: int, tag: int, stop: int) -> int:
    """Where the message in the field at `position` begins, if it ends where its parent does."""
    if buffer[position] != tag:
        raise WireFormatError("another field")
    length, start = read_varint(buffer, position + 1, stop)
    if length != stop - start:
        raise WireFormatError("another length")
    return start


def split_reply(reply: bytes) -> tuple[tuple[int, int], bytes]:
    """Find the payload in a serialized reply: its span, and the signature over it ("" if none).

    Raises:
        ProofFormatError: not a well-formed reply.
    """
    span, signature = (0, 0), b""
    try:
        for number, field in _singular(reply, 0, len(reply), _REPLY):
            if number == 1:
                span = field.start, field.stop
            else:
                signature = reply[field.start : field.stop]
    except WireFormatError as error:
        raise ProofFormatError(f"not a well-formed reply: {error}") from error
    return span, signature


def read_run_model_payload(buffer: bytes, start: int, stop: int) -> RunModelPayload:
    """Read the `Payload` of a prediction at ``buffer[start:stop]``.

    Raises:
        ProofFormatError: not a well-formed payload, one of another kind of reply, or one with an
            output whose bytes do not fit its dims and datum type.
    """
    try:
        return _read(buffer, *_find_kind(buffer, start, stop))
    except (WireFormatError, TensorError) as error:
        raise ProofFormatError(f"not a well-formed prediction: {error}") from error


def _find_kind(buffer: bytes, start: int, stop: int) -> tuple[int, int]:
    found = dict(_singular(buffer, start, stop, _PAYLOAD))
    # A peer that sends both members of the oneof would be read differently by different parsers.
    if _RUN_MODEL_PAYLOAD not in found or _SEND_MODEL_PAYLOAD in found:
        kind = "an upload" if _SEND_MODEL_PAYLOAD in found else "nothing known"
        raise ProofFormatError(f"the payload speaks of {kind}, not of a prediction")
    field = found[_RUN_MODEL_PAYLOAD]
    return field.start, field.stop


def _read(buffer: bytes, start: int, stop: int) -> RunModelPayload:
    input_hash, model_id, inference_time = b"", "", 0
    outputs: list[Tensor] = []
    for number, field in _singular(buffer, start, stop, _PREDICTION, repeated=3):
        if number == 3:
            outputs.append(read_tensor_data(buffer, field.start, field.stop))
        elif number == 4:
            inference_time = field.value
        elif number == 1:
            input_hash = buffer[field.start : field.stop]
        else:
            model_id = _text(buffer[field.start : field.stop])
    return RunModelPayload(input_hash, model_id, outputs, inference_time)


def _singular(
    buffer: bytes, start: int, stop: int, kinds: dict[int, int], repeated: int = 0
) -> list[tuple[int, Field]]:
    """The known fields of a message, none of them twice but the `repeated` one.

    protobuf would let the last of two win, or merge them: what is ambiguous is refused.
    """
    found: list[tuple[int, Field]] = []
    seen = 0
    for field in fields(buffer, start, stop):
        number = field[0]
        if number not in kinds:
            continue
        if field[1] != kinds[number]:
            raise WireFormatError(f"field {number} has wire type {field.wire_type}")
        if seen >> number & 1 and number != repeated:
            raise WireFormatError(f"field {number} came twice")
        seen |= 1 << number
        found.append((number, field))
    return found


def _text(encoded: bytes) -> str:
    if len(encoded) > _MAX_ID_BYTES:
        raise WireFormatError(f"the model id has {len(encoded)} bytes")
    try:
        return encoded.decode()
    except UnicodeDecodeError as error:
        raise WireFormatError(f"the model id is not UTF-8: {error.reason}") from None
