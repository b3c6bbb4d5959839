"""The payload of an upload's answer: its size, its form, and the facts that it states."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError

from blindai_async._pb import securedexchange_pb2
from blindai_async.errors import ProofFormatError
from blindai_async.specs import TensorSpec
from blindai_async.tensors.dtypes import ModelDatumType

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["check_upload_size", "read_send_model_payload", "upload_facts"]

# An id, a hash, and the facts of some tensors.
_MAX_UPLOAD_REPLY = 1 << 20


def check_upload_size(reply: bytes) -> None:
    """Refuse what is far too long, before it is parsed: each two bytes may become an object.

    Raises:
        ProofFormatError: it is.
    """
    if len(reply) > _MAX_UPLOAD_REPLY:
        raise ProofFormatError(f"the answer to an upload has {len(reply)} bytes")


def read_send_model_payload(payload: bytes) -> securedexchange_pb2.SendModelPayload:
    """Read the `Payload` of an upload.

    Raises:
        ProofFormatError: not a well-formed payload, or one of another kind of reply.
    """
    check_upload_size(payload)
    try:
        message = securedexchange_pb2.Payload.FromString(payload)
    except DecodeError as error:
        raise ProofFormatError("not a well-formed payload") from error
    if message.WhichOneof("payload") != "send_model_payload":
        raise ProofFormatError("the payload does not speak of an upload")
    return message.send_model_payload


def upload_facts(payload: securedexchange_pb2.SendModelPayload) -> dict[str, Any]:
    """The fields of an `UploadModelResponse`."""
    return {
        "model_id": payload.model_id,
        "inputs": _specs(payload.tensor_inputs),
        "outputs": _specs(payload.tensor_outputs),
    }


def _specs(infos: Iterable[securedexchange_pb2.TensorInfo]) -> tuple[TensorSpec, ...]:
    """What an answer states of tensors; nothing where one of them cannot be described."""
    try:
        return tuple(
            TensorSpec(
                dtype=ModelDatumType(info.datum_type),
                # A dimension that is left open (-1) leaves the shape open.
                dims=() if any(dim < 0 for dim in info.dims) else tuple(info.dims),
                name=info.index_name,
            )
            for info in infos
        )
    except ValueError:  # a datum type outside of the wire's (UNKNOWN is -1)
        return ()
