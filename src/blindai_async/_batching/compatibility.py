"""Rows of several callers in one request: which belong together, how they are joined."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from blindai_async._wire.tensor_data import OutgoingTensor, array_bytes, encode_info

if TYPE_CHECKING:
    from collections.abc import Sequence

    from blindai_async.proofs.responses import PredictResponse
    from blindai_async.tensors.dtypes import ModelDatumType
    from blindai_async.tensors.inputs import InputTensor

__all__ = ["BatchKey", "OutputSignature", "batch_key", "join", "output_signature"]

# What the rows of one request have in common: the model, and of each input its rank, its dtype and
# the shape of a row. Flat, since it is made and hashed for every call.
BatchKey: TypeAlias = "tuple[str | int, ...]"

# Of each output its dtype and the shape of a row.
OutputSignature: TypeAlias = "tuple[tuple[ModelDatumType, tuple[int, ...]], ...]"


def batch_key(model_id: str, inputs: Sequence[InputTensor]) -> tuple[BatchKey | None, int]:
    """Tell with which other calls a call may be joined (None: with none), and its rows."""
    _, datum_type, shape = inputs[0]
    rows = shape[0] if shape else 0
    if not rows:
        return None, 0
    kind: BatchKey = (model_id, len(shape), datum_type, *shape[1:])
    for _, datum_type, shape in inputs[1:]:
        if not shape or shape[0] != rows:
            return None, 0
        kind = (*kind, len(shape), datum_type, *shape[1:])
    return kind, rows


def join(calls: Sequence[Sequence[InputTensor]], rows: int) -> list[OutgoingTensor]:
    """Join the inputs of several calls of one kind along axis 0, without copying any.

    Args:
        calls: the inputs of each call.
        rows: of all of them together.
    """
    joined = []
    for index, (_, datum_type, shape) in enumerate(calls[0]):
        buffers = [array_bytes(inputs[index].array) for inputs in calls]
        info = encode_info([rows, *shape[1:]], datum_type, index)
        joined.append(OutgoingTensor(info, buffers, sum(buffer.nbytes for buffer in buffers)))
    return joined


def output_signature(response: PredictResponse, rows: int) -> OutputSignature | None:
    """Describe a row of the outputs; None where an output has not as many rows as the inputs."""
    facts = []
    for tensor in response.output:
        dims = tensor.info.dims
        if not dims or dims[0] != rows:
            return None
        facts.append((tensor.info.datum_type, tuple(dims[1:])))
    return tuple(facts)
