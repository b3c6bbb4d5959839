"""What an ONNX file says of itself before it is sent: names, and what could not travel.

Only the framing is read, in place; weights are skipped. What cannot be read is left to the server.
Source: onnx.proto3, https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, NamedTuple

from blindai_async._wire.protobuf import LENGTH_DELIMITED, VARINT, Field, WireFormatError, fields
from blindai_async.errors import TensorError
from blindai_async.tensors.unsupported import unsupported_type

if TYPE_CHECKING:
    from collections.abc import Iterator

_GRAPH = 7  # of ModelProto
_INITIALIZER, _INPUT, _OUTPUT = 5, 11, 12  # of GraphProto
_TENSOR_NAME, _EXTERNAL_DATA, _DATA_LOCATION = 8, 13, 14  # of TensorProto
_NAME, _TYPE = 1, 2  # of ValueInfoProto
_TENSOR_TYPE = 1  # of TypeProto; its element type is field 1 in turn
_OTHER_TYPES: Final = {4: "seq(...)", 5: "map(...)", 8: "sparse_tensor(...)", 9: "optional(...)"}
# TensorProto.DataType, those that the wire has no datum type for.
_UNSUPPORTED: Final = {
    8: "tensor(string)",
    10: "tensor(float16)",
    14: "tensor(complex64)",
    15: "tensor(complex128)",
    16: "tensor(bfloat16)",
    17: "tensor(float8e4m3fn)",
    18: "tensor(float8e4m3fnuz)",
    19: "tensor(float8e5m2)",
    20: "tensor(float8e5m2fnuz)",
    21: "tensor(uint4)",
    22: "tensor(int4)",
    23: "tensor(float4e2m1)",
}
# Real models have some hundred thousand parts; more are left to the server.
_MAX_FIELDS = 1_000_000
_WINDOW = 4096


class OnnxNames(NamedTuple):
    """The names in a model, in its order; empty where the file does not tell them.

    Attributes:
        inputs: of what it takes, without those that the file itself fills in (initializers).
        outputs: of what it gives.
    """

    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()


def check_onnx_file(model: str | os.PathLike[str] | bytes | bytearray | memoryview) -> OnnxNames:
    """Refuse a model that no 0.5 server can serve, and tell its names. Reads files: use a thread.

    Args:
        model: a path, or the model's bytes.

    Raises:
        TensorError: an input or output has no place on the wire, or weights lie in other files.
    """
    if isinstance(model, bytes | bytearray | memoryview):
        content = memoryview(model).cast("B")
        return _check(content, content.nbytes)
    if not isinstance(model, str | os.PathLike) or not Path(model).is_file():
        return OnnxNames()  # whoever sends it says what is wrong
    try:
        with Path(model).open("rb") as file:
            return _check(_FileBytes(file), os.fstat(file.fileno()).st_size)
    except OSError:
        return OnnxNames()


class _FileBytes:
    """A file's bytes by position; a mapped file that shrinks would end the process."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._window = b""
        self._start = 0

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, slice):
            self._file.seek(key.start)
            return self._file.read(key.stop - key.start)
        offset = key - self._start
        if not 0 <= offset < len(self._window):
            self._file.seek(key)
            self._window, self._start, offset = self._file.read(_WINDOW), key, 0
            if not self._window:
                raise WireFormatError("the file has shrunk")
        return self._window[offset]


def _check(model: Any, size: int) -> OnnxNames:
    try:
        return _names(model, size)
    except WireFormatError:
        return OnnxNames()


def _names(model: Any, size: int) -> OnnxNames:
    inputs: list[str] = []
    outputs: list[str] = []
    filled = set()
    for graph in _parts(model, 0, size, _GRAPH):
        for field in fields(model, graph.start, graph.stop, at_most=_MAX_FIELDS):
            if field.wire_type != LENGTH_DELIMITED:
                continue
            if field.number == _INITIALIZER:
                filled.add(_self_contained(model, field))
            elif field.number == _INPUT:
                inputs.append(_travelling(model, field, "input"))
            elif field.number == _OUTPUT:
                outputs.append(_travelling(model, field, "output"))
    return OnnxNames(tuple(name for name in inputs if name not in filled), tuple(outputs))


def _parts(model: Any, start: int, stop: int, number: int) -> Iterator[Field]:
    """The embedded messages of one number."""
    for field in fields(model, start, stop, at_most=_MAX_FIELDS):
        if field.number == number and field.wire_type == LENGTH_DELIMITED:
            yield field


def _self_contained(model: Any, tensor: Field) -> str:
    """The name of a weight, which has to lie in the file itself."""
    name, external = "", False
    for field in fields(model, tensor.start, tensor.stop, at_most=_MAX_FIELDS):
        if field.number == _TENSOR_NAME and field.wire_type == LENGTH_DELIMITED:
            name = _text(model, field)
        elif field.number == _DATA_LOCATION and field.wire_type == VARINT:
            external = external or field.value != 0
        elif field.number == _EXTERNAL_DATA:
            external = True
    if external:
        raise TensorError(
            f"the model keeps its weight {name!r} in an external file, which would not be sent; "
            "put all weights into one file: onnx.save(onnx.load(path), path)"
        )
    return name


def _travelling(model: Any, value: Field, role: str) -> str:
    """The name of an input or output, which has to be of a type that the wire has."""
    name, kind = "", ""
    for field in fields(model, value.start, value.stop):
        if field.wire_type != LENGTH_DELIMITED:
            continue
        if field.number == _NAME:
            name = _text(model, field)
        elif field.number == _TYPE:
            kind = _unsupported_kind(model, field)
    if kind:
        raise TensorError(f"the model cannot be served: {unsupported_type(role, name, kind)}")
    return name


def _unsupported_kind(model: Any, type_: Field) -> str:
    """What a type is that cannot travel; "" for one that can, or that the file leaves open."""
    for field in fields(model, type_.start, type_.stop):
        if field.number in _OTHER_TYPES:
            return _OTHER_TYPES[field.number]
        if field.number == _TENSOR_TYPE and field.wire_type == LENGTH_DELIMITED:
            for part in fields(model, field.start, field.stop):
                if part.number == 1 and part.wire_type == VARINT and part.value in _UNSUPPORTED:
                    return _UNSUPPORTED[part.value]
    return ""


def _text(model: Any, field: Field) -> str:
    return bytes(model[field.start : field.stop]).decode(errors="replace")
