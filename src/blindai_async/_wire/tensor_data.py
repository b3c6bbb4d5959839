"""Tensors <-> the bytes of `TensorData` messages: one copy on the way out, none on the way in.

`TensorData { TensorInfo info = 1; bytes bytes_data = 2 }`,
`TensorInfo { repeated int32 dims = 1; DatumTypeEnum datum_type = 2; int32 index = 3;
string index_name = 4 }`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

from blindai_async._wire.protobuf import (
    LENGTH_DELIMITED,
    VARINT,
    Field,
    WireFormatError,
    fields,
    read_varint,
    varint,
)
from blindai_async.tensors.dtypes import ModelDatumType
from blindai_async.tensors.tensor import Tensor, TensorInfo

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from blindai_async.tensors.inputs import InputTensor

_INPUT_TENSORS = b"\x0a"  # RunModelRequest.input_tensors = 1
_INFO = b"\x0a"  # TensorData.info = 1
_BYTES_DATA = b"\x12"  # TensorData.bytes_data = 2
# What a reply may declare: far beyond what a model has, far below what fills a memory.
_MAX_DIMS = 128
_MAX_INFO_FIELDS = 256
_MAX_NAME_BYTES = 4096

# What a peer can have us remember is bounded.
_MAX_KNOWN = 256

_Facts: TypeAlias = tuple[tuple[int, ...], ModelDatumType, int, str]
_NO_FACTS: _Facts = ((), ModelDatumType.F32, 0, "")

_INT32_MASK, _INT32_SIGN = 0xFFFF_FFFF, 0x8000_0000


class Digest(Protocol):
    """A running hash, as hashlib makes them."""

    def update(self, data: memoryview, /) -> None:
        """Add `data` to what is hashed."""
        ...


class OutgoingTensor(NamedTuple):
    """A tensor to be sent: its encoded facts, and its bytes wherever they lie.

    Attributes:
        info: the encoded `TensorInfo`.
        buffers: the elements' bytes, in order; several where rows of several callers are joined.
        nbytes: the buffers' total length.
    """

    info: bytes
    buffers: Sequence[memoryview]
    nbytes: int


def outgoing(tensor: InputTensor, index: int, name: str = "") -> OutgoingTensor:
    """Prepare one input for the wire; its memory is shared, not copied."""
    info = encode_info(tensor.shape, tensor.datum_type, index, name)
    view = array_bytes(tensor.array)
    return OutgoingTensor(info, (view,), view.nbytes)


def array_bytes(array: npt.NDArray[Any]) -> memoryview:
    """View a C-contiguous array's memory as bytes."""
    return array.data.cast("B") if array.size else memoryview(b"")


def encode_info(
    dims: Sequence[int], datum_type: ModelDatumType, index: int, name: str = ""
) -> bytes:
    """Encode a `TensorInfo`; the index is the key of its chunks, see the wire's RunModel."""
    return _encode_info(tuple(dims), datum_type, index, name)


@lru_cache(maxsize=256)  # callers ask with the same shapes again and again
def _encode_info(dims: tuple[int, ...], datum_type: ModelDatumType, index: int, name: str) -> bytes:
    encoded = b""
    if dims:
        packed = b"".join(map(varint, dims))
        encoded = b"\x0a" + varint(len(packed)) + packed
    if datum_type:
        encoded += b"\x10" + varint(datum_type)
    if index:
        encoded += b"\x18" + varint(index)
    if name:
        text = name.encode()
        encoded += b"\x22" + varint(len(text)) + text
    return encoded


def request_message(
    tensors: Sequence[OutgoingTensor], trailer: bytes, digest: Digest | None = None
) -> bytes:
    """Put small tensors into one serialized `RunModelRequest`; see `request_frames`."""
    pieces: list[bytes | memoryview] = []
    for tensor in tensors:
        pieces += _tensor_data(tensor.info, tensor.buffers, tensor.nbytes)
        if digest is not None:
            for buffer in tensor.buffers:
                digest.update(buffer)
    pieces.append(trailer)
    return b"".join(pieces)


def request_frames(
    tensors: Sequence[OutgoingTensor], trailer: bytes, chunk_size: int, digest: Digest | None = None
) -> Iterator[bytes]:
    """Cut tensors into serialized `RunModelRequest` messages of about `chunk_size` bytes.

    Small tensors share a message; a large one is spread over several, each naming it. Every byte
    is copied once: from the caller's array into the message.

    Args:
        tensors: the inputs, in order.
        trailer: the encoded other fields of the request, repeated in every message: a server reads
            them from the last one.
        chunk_size: tensor bytes a message, at most.
        digest: is fed the tensors' bytes as they are sent, so that it covers what really left even
            when the caller's array changes meanwhile.
    """
    pieces: list[bytes | memoryview] = []
    room = chunk_size
    for tensor in tensors:
        for run, size in _runs(tensor, room, chunk_size):
            pieces += _tensor_data(tensor.info, run, size)
            if digest is not None:
                for piece in run:
                    digest.update(piece)
            room -= size
            if room <= 0:
                yield b"".join((*pieces, trailer))
                pieces, room = [], chunk_size
    if pieces:
        yield b"".join((*pieces, trailer))


def _runs(
    tensor: OutgoingTensor, room: int, chunk_size: int
) -> Iterator[tuple[Sequence[memoryview], int]]:
    """Cut a tensor's bytes into runs, with their sizes: `room` at most, then `chunk_size`."""
    if tensor.nbytes <= room:
        yield tensor.buffers, tensor.nbytes
        return
    run: list[memoryview] = []
    left = room
    for buffer in tensor.buffers:
        start = 0
        while start < buffer.nbytes:
            piece = buffer[start : start + left]
            run.append(piece)
            start += piece.nbytes
            left -= piece.nbytes
            if left == 0:
                yield run, room
                run, left, room = [], chunk_size, chunk_size
    if run:
        yield run, room - left


def _tensor_data(info: bytes, run: Sequence[memoryview], size: int) -> list[bytes | memoryview]:
    """The pieces of one `input_tensors` field that carries `run`."""
    head = _INFO + varint(len(info)) + info + _BYTES_DATA + varint(size)
    return [_INPUT_TENSORS + varint(len(head) + size) + head, *run]


def read_tensor_data(buffer: bytes, start: int, stop: int) -> Tensor:
    """Read the `TensorData` at ``buffer[start:stop]``; the tensor is a view of the buffer.

    Raises:
        WireFormatError: not a well-formed `TensorData`.
        TensorError: its bytes do not fit its dims and datum type.
    """
    facts = _NO_FACTS
    data = memoryview(b"")
    seen = 0
    for number, wire_type, _, begin, end in fields(buffer, start, stop):
        if number not in (1, 2):
            continue
        if seen & number or wire_type != LENGTH_DELIMITED:
            raise WireFormatError(f"TensorData has its field {number} twice, or malformed")
        seen |= number
        if number == 1:
            if end - begin <= _MAX_KNOWN:
                facts = _known_facts(buffer[begin:end])
            else:
                facts = _read_facts(buffer, begin, end)
        else:
            data = memoryview(buffer)[begin:end]
    dims, datum_type, index, name = facts
    return Tensor(TensorInfo([*dims], datum_type, index, name), data)


def _read_facts(buffer: bytes, start: int, stop: int) -> _Facts:
    """Read the `TensorInfo` at ``buffer[start:stop]``: dims, datum type, index, name."""
    dims: list[int] = []
    datum_type, index, name = ModelDatumType.F32, 0, ""
    for field in fields(buffer, start, stop, at_most=_MAX_INFO_FIELDS):
        match field.number, field.wire_type:
            case 1, _:
                dims += _read_dims(buffer, field)
            case 2, wire_type if wire_type == VARINT:
                datum_type = _read_datum_type(field.value)
            case 3, wire_type if wire_type == VARINT:
                index = _int32(field.value)
            case 4, wire_type if wire_type == LENGTH_DELIMITED:
                name = _read_text(buffer[field.start : field.stop])
            case ((2 | 3 | 4), wire_type):
                raise WireFormatError(f"TensorInfo field {field.number} has wire type {wire_type}")
    return tuple(dims), datum_type, index, name


@lru_cache(maxsize=256)  # a model says the same of its outputs in every reply
def _known_facts(encoded: bytes) -> _Facts:
    return _read_facts(encoded, 0, len(encoded))


def _read_dims(buffer: bytes, field: Field) -> list[int]:
    if field.wire_type == VARINT:  # an encoder that does not pack
        return [_int32(field.value)]
    if field.wire_type != LENGTH_DELIMITED:
        raise WireFormatError(f"TensorInfo.dims has wire type {field.wire_type}")
    dims: list[int] = []
    position = field.start
    while position < field.stop:
        if len(dims) == _MAX_DIMS:  # before a list is made of megabytes of them
            raise WireFormatError(f"a tensor of more than {_MAX_DIMS} dimensions")
        value, position = read_varint(buffer, position, field.stop)
        dims.append(_int32(value))
    return dims


def _read_datum_type(value: int) -> ModelDatumType:
    try:
        return ModelDatumType(value)
    except ValueError:
        raise WireFormatError(f"datum type {_int32(value)} is not one of the wire's") from None


def _read_text(encoded: bytes) -> str:
    if len(encoded) > _MAX_NAME_BYTES:
        raise WireFormatError(f"a tensor's name has {len(encoded)} bytes")
    try:
        return encoded.decode()
    except UnicodeDecodeError as error:
        raise WireFormatError(f"a tensor's name is not UTF-8: {error.reason}") from None


def _int32(value: int) -> int:
    low = value & _INT32_MASK
    return low - 0x1_0000_0000 if low & _INT32_SIGN else low
