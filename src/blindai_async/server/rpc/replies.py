"""Replies as bytes: built around the outputs' own memory, signed as they stand.

The generated classes would copy an output of 100 MB five times (array, tensor, payload, reply,
serialization). Here it is copied once, into the reply; a signed one a second time, because the
signature follows the payload that it covers.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from blindai_async._pb import securedexchange_pb2 as pb
from blindai_async._wire.protobuf import varint

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy.typing as npt
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from blindai_async.server.inference.onnx_runtime import TensorFact

    Array = npt.NDArray[Any]

__all__ = ["prediction_reply", "upload_reply"]

Piece = bytes | memoryview

_HEADER, _RUN_MODEL_PAYLOAD = 1, 3  # of Payload
_PAYLOAD, _SIGNATURE = 1, 2  # of RunModelReply and SendModelReply
_INPUT_HASH, _MODEL_ID, _OUTPUT_TENSORS, _INFERENCE_TIME = 1, 2, 3, 4  # of RunModelPayload
_INFO, _BYTES_DATA = 1, 2  # of TensorData
_LENGTH_DELIMITED = 2


def upload_reply(payload: pb.SendModelPayload, signing_key: Ed25519PrivateKey | None) -> bytes:
    """The serialized `SendModelReply`, signed if a key is given."""
    whole = pb.Payload(header=_header(), send_model_payload=payload)
    return _reply([whole.SerializeToString()], signing_key)


def prediction_reply(
    outputs: Iterable[tuple[TensorFact, Array]],
    seconds: float,
    *,
    input_hash: bytes = b"",
    model_id: str = "",
    signing_key: Ed25519PrivateKey | None = None,
) -> bytes:
    """The serialized `RunModelReply`, signed if a key is given.

    Args:
        outputs: the model's outputs, in order.
        seconds: how long the inference took; sent in ms, rounded up, as 0 means "not told".
        input_hash: SHA-256 over the inputs' bytes, for a signed reply.
        model_id: the model that ran, for a signed reply.
        signing_key: signs the payload.
    """
    pieces: list[Piece] = []
    if input_hash:
        pieces += _field(_INPUT_HASH, [input_hash])
    if model_id:
        pieces += _field(_MODEL_ID, [model_id.encode()])
    for index, (fact, array) in enumerate(outputs):
        pieces += _field(_OUTPUT_TENSORS, _tensor_data(index, fact, array))
    pieces.append(varint(_INFERENCE_TIME << 3) + varint(max(1, math.ceil(seconds * 1000))))
    header = _field(_HEADER, [_header().SerializeToString()])
    return _reply([*header, *_field(_RUN_MODEL_PAYLOAD, pieces)], signing_key)


def _reply(payload: Sequence[Piece], signing_key: Ed25519PrivateKey | None) -> bytes:
    if signing_key is None:
        return b"".join(_field(_PAYLOAD, payload))
    signed = b"".join(payload)
    signature = signing_key.sign(signed)
    return b"".join([*_field(_PAYLOAD, [signed]), *_field(_SIGNATURE, [signature])])


def _header() -> pb.PayloadHeader:
    header = pb.PayloadHeader()
    header.issued_at.FromNanoseconds(time.time_ns())
    return header


def _tensor_data(index: int, fact: TensorFact, array: Array) -> list[Piece]:
    info = pb.TensorInfo(
        dims=array.shape,
        datum_type=pb.DatumTypeEnum.Name(fact.datum_type),
        index=index,
        index_name=fact.name,
    )
    little_endian = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    view = little_endian.reshape(-1).view(np.uint8).data
    pieces = _field(_INFO, [info.SerializeToString()])
    if len(view):  # proto3 leaves out what is empty
        pieces += _field(_BYTES_DATA, [view])
    return pieces


def _field(number: int, pieces: Sequence[Piece]) -> list[Piece]:
    """One length-delimited field around `pieces`, which stay where they are."""
    size = sum(map(len, pieces))
    return [varint(number << 3 | _LENGTH_DELIMITED) + varint(size), *pieces]
