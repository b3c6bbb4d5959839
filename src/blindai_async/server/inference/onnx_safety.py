"""What an uploaded ONNX file may not contain: references to files of this machine.

A tensor of an ONNX model may say "my data is in the file at this path" (`external_data`). ONNX
Runtime would open that path on the server, or read this process's own memory where the path is
its in-memory marker: an uploader could fetch what the server can read. Every tensor is therefore
looked at before the runtime sees the file. Only the framing is read, in place; weights are skipped.
Source: onnx.proto3, https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3.
"""

from __future__ import annotations

from typing import Final

from blindai_async._wire.protobuf import LENGTH_DELIMITED, VARINT, WireFormatError, fields
from blindai_async.server.status_errors import unknown

__all__ = ["refuse_external_data"]

# Which fields of which message lead to a tensor, and to what.
_CHILDREN: Final[dict[str, dict[int, str]]] = {
    "Model": {7: "Graph", 20: "Training", 25: "Function"},
    "Training": {1: "Graph", 2: "Graph"},
    "Graph": {1: "Node", 5: "Tensor", 15: "SparseTensor"},
    "Function": {7: "Node", 11: "Attribute"},
    "Node": {5: "Attribute"},
    "Attribute": {
        5: "Tensor",
        6: "Graph",
        10: "Tensor",
        11: "Graph",
        22: "SparseTensor",
        23: "SparseTensor",
    },
    "SparseTensor": {1: "Tensor", 2: "Tensor"},
    "Tensor": {},
}
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14
# A parser that keeps 32 bits of a tag would see another number than one that keeps all of them.
_FIELD_NUMBER_MASK = (1 << 29) - 1
# Real models have some hundred thousand; a file of nothing but tiny fields would hold a thread
# for minutes.
_MAX_FIELDS = 4_000_000


def refuse_external_data(model: bytes) -> None:
    """Let a model pass only if all its data is in the file itself.

    Raises:
        RefusalError: a tensor lies elsewhere, or the file is no ONNX model.
    """
    pending = [("Model", 0, len(model))]
    seen = 0
    try:
        while pending:
            message, start, stop = pending.pop()
            children = _CHILDREN[message]
            for field in fields(model, start, stop):
                seen += 1
                if seen > _MAX_FIELDS:
                    raise unknown("The model has too many parts")
                number = field.number & _FIELD_NUMBER_MASK
                if message == "Tensor":
                    _refuse_external_tensor(number, field.wire_type, field.value)
                elif field.wire_type == LENGTH_DELIMITED and number in children:
                    pending.append((children[number], field.start, field.stop))
    except WireFormatError as error:
        raise unknown("The model is not a valid ONNX file") from error


def _refuse_external_tensor(number: int, wire_type: int, value: int) -> None:
    located = number == _DATA_LOCATION and wire_type == VARINT and value != 0
    if located or (number == _EXTERNAL_DATA and wire_type == LENGTH_DELIMITED):
        raise unknown(
            "The model keeps data in external files; it must be one self-contained file: "
            "onnx.save(onnx.load(path), path) makes it one"
        )
