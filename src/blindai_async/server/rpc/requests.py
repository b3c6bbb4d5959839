"""The request streams as they come in: which message counts for what, and how much may come.

`SendModel` takes its metadata from the first message, `RunModel` from the last
(docs/explanation/wire_protocol.md, "Messages of the attested port").
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from google.protobuf.message import DecodeError, Message

from blindai_async._pb import securedexchange_pb2 as pb
from blindai_async.server.inference.byte_buffer import ByteBuffer
from blindai_async.server.inference.tensor_assembly import InputAssembler
from blindai_async.server.status_errors import invalid_argument

if TYPE_CHECKING:
    from collections.abc import Callable

    from blindai_async.server.inference.tensor_assembly import ArrivingTensor

__all__ = ["ModelUpload", "PredictionRequest", "parse"]

_MAX_MODEL_ID = 1024

M = TypeVar("M", bound=Message)


def parse(kind: type[M], serialized: bytes) -> M:
    """Parse a message.

    Raises:
        RefusalError: it is none.
    """
    try:
        return kind.FromString(serialized)
    except DecodeError:
        raise invalid_argument("Malformed message") from None


class ModelUpload:
    """A model on its way in.

    Args:
        max_size: bytes the file may have.
        hold: accounts for bytes that are kept.

    Attributes:
        request: the first message, without its data.
    """

    def __init__(self, max_size: int, hold: Callable[[int], None]) -> None:
        self.request: pb.SendModelRequest = pb.SendModelRequest()
        self._max_size = max_size
        self._hold = hold
        self._begun = False
        # One buffer and not a list of chunks: a peer that sends single bytes would make the list
        # take fifty times what it sent.
        self._file = ByteBuffer(0)

    def accept(self, message: bytes) -> int:
        """Take one message; returns how many bytes of the file it brought."""
        request = parse(pb.SendModelRequest, message)
        data = request.data
        if len(self._file) + len(data) > self._max_size:
            raise invalid_argument("Model is too big")
        if not self._begun:
            self._begin(request)
        self._hold(len(data))
        self._file.append(data)
        return len(data)

    def finish(self) -> bytes:
        """The whole file.

        Raises:
            RefusalError: it is empty, or shorter than it was announced to be.
        """
        if not len(self._file):
            raise invalid_argument("Received no data")
        # gRPC shows a stream that was broken off as one that ended, and an ONNX file that is cut
        # between two fields may load. (A length below the file's is a chunk's: no harm in it.)
        if len(self._file) < self.request.length:
            raise invalid_argument("Model is incomplete")
        whole = bytes(self._file.content())
        self._file = ByteBuffer(0)
        return whole

    def _begin(self, request: pb.SendModelRequest) -> None:
        if request.length > self._max_size:  # announced: no need to wait for it
            raise invalid_argument("Model is too big")
        if len(request.model_id) > _MAX_MODEL_ID:
            raise invalid_argument("Model id is too long")
        request.ClearField("data")
        self.request = request
        self._file = ByteBuffer(request.length)
        self._begun = True


class PredictionRequest:
    """The inputs of one prediction on their way in.

    Args:
        max_size: bytes all its tensors may have.
        hold: accounts for bytes that are kept.

    Attributes:
        model_id: the model that is asked for.
        sign: whether the reply shall be signed.
    """

    def __init__(self, max_size: int, hold: Callable[[int], None]) -> None:
        self.model_id: str = ""
        self.sign: bool = False
        self._hold = hold
        self._inputs = InputAssembler(max_size)

    def accept(self, message: bytes) -> int:
        """Take one message; returns how many tensor bytes it brought."""
        request = parse(pb.RunModelRequest, message)
        self.model_id, self.sign = request.model_id, request.sign
        size = 0
        for chunk in request.input_tensors:
            size += self._inputs.add(chunk)
        self._hold(size)
        return size

    def finish(self) -> list[ArrivingTensor]:
        """The whole tensors, in order of first arrival.

        Raises:
            RefusalError: one of them is not as long as its shape says.
        """
        return self._inputs.finish()
