"""Rows of several callers in one request: which belong together, how they are joined."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from blindai_async._wire.tensor_data import OutgoingTensor, array_bytes, encode_info, outgoing

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from blindai_async.proofs.responses import PredictResponse
    from blindai_async.tensors.dtypes import ModelDatumType
    from blindai_async.tensors.inputs import InputTensor

# What the rows of one request have in common: the model, and of each input its rank, its dtype and
# the shape of a row, or its bytes where it has no rows. Flat, since it is made and hashed for every
# call.
BatchKey: TypeAlias = "tuple[str | int | bytes, ...]"

# Of each output its dtype and the shape of a row.
OutputSignature: TypeAlias = "tuple[tuple[ModelDatumType, tuple[int, ...]], ...]"

_NOTHING: frozenset[int] = frozenset()
_SMALL = 4096  # bytes of a call
_LONGEST_IN_KEY = 64  # bytes; of longer ones the digest


def batch_key(
    model_id: str, inputs: Sequence[InputTensor], declared: Collection[int] = _NOTHING
) -> tuple[BatchKey | None, int]:
    """Tell with which other calls a call may be joined (None: with none), and its rows.

    Args:
        model_id: the model that is called.
        inputs: the call's.
        declared: positions of inputs that have no batch axis; scalars need not be.
    """
    _, datum_type, shape = inputs[0]
    if len(inputs) == 1:
        if not shape or not shape[0] or declared:
            return None, 0
        return (model_id, len(shape), datum_type, *shape[1:]), shape[0]
    rows = 0
    key: BatchKey = (model_id,)
    for index, (array, datum_type, shape) in enumerate(inputs):
        if not shape or index in declared:
            key = (*key, -1 - len(shape), datum_type, *shape, _in_key(array_bytes(array)))
            continue
        if not shape[0] or (rows and shape[0] != rows):
            return None, 0
        rows = shape[0]
        key = (*key, len(shape), datum_type, *shape[1:])
    return (key if rows else None), rows


def shared_inputs(inputs: Sequence[InputTensor], declared: Collection[int]) -> frozenset[int]:
    """The positions of a call's inputs that have no batch axis."""
    return frozenset(
        index for index, tensor in enumerate(inputs) if not tensor.shape or index in declared
    )


def _in_key(data: memoryview) -> bytes:
    """What stands for a shared input's bytes: equal for equal bytes, and for no others."""
    if data.nbytes <= _LONGEST_IN_KEY:
        return bytes(data)
    return hashlib.sha256(data).digest() + b"digest" * 6  # longer than any that stands for itself


def join(
    calls: Sequence[Sequence[InputTensor]], rows: int, shared: Collection[int] = _NOTHING
) -> list[OutgoingTensor]:
    """Join the inputs of several calls of one kind along axis 0; large ones are not copied.

    Args:
        calls: the inputs of each call.
        rows: of all of them together.
        shared: positions of the inputs that are the same in all of them, and are sent once.
    """
    joined = []
    for index, tensor in enumerate(calls[0]):
        if index in shared:
            joined.append(outgoing(tensor, index))
            continue
        info = encode_info([rows, *tensor.shape[1:]], tensor.datum_type, index)
        arrays = [inputs[index].array for inputs in calls]
        if arrays[0].nbytes <= _SMALL:  # a view of each would take longer than a copy of all
            arrays = [np.concatenate(arrays)]
        buffers = [array_bytes(array) for array in arrays]
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
