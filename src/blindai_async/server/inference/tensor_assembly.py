"""From a stream of chunks to whole tensors: `RunModel`'s keys, limits and length check.

Every limit holds while the stream comes in: what is refused was never kept.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from blindai_async.server.inference.byte_buffer import ByteBuffer
from blindai_async.server.status_errors import RefusalError, invalid_argument
from blindai_async.tensors.dtypes import TABLE, DatumTypeRow, ModelDatumType

if TYPE_CHECKING:
    import numpy.typing as npt

    from blindai_async._pb import securedexchange_pb2 as pb

    Array = npt.NDArray[Any]

__all__ = ["ArrivingTensor", "InputAssembler"]

_MAX_RANK = 32
_MAX_TENSORS = 1024
_MAX_NAME = 1024
# NumPy multiplies dims even where one of them is 0, and counts bytes in 63 bits.
_MAX_EXTENT = 2**62
_ROWS: dict[int, DatumTypeRow] = {int(kind): row for kind, row in TABLE.items()}


def _malformed() -> RefusalError:
    return invalid_argument("Tensor serialization error")


class ArrivingTensor:
    """One input tensor, of which some chunks may still be on their way.

    Attributes:
        name: as its first chunk states it, or "".
        dims: its shape, as its first chunk declares it.
        row: its element type.
        nbytes: how many bytes the declaration asks for.
    """

    __slots__ = ("_buffer", "dims", "name", "nbytes", "row")

    def __init__(self, info: pb.TensorInfo) -> None:
        row = _ROWS.get(info.datum_type)
        if row is None or len(info.dims) > _MAX_RANK or len(info.index_name) > _MAX_NAME:
            raise _malformed()
        dims = tuple(info.dims)
        # -1 and the like have no place in a tensor that is sent. A product of 2^31s is only a
        # number here and allocates nothing, and the bytes that came are never as many; beside a 0
        # it would overflow in NumPy all the same.
        self.nbytes: int = math.prod(dims) * row.size
        if dims and min(dims) < 0:
            raise _malformed()
        if not self.nbytes and math.prod(filter(None, dims)) > _MAX_EXTENT // row.size:
            raise _malformed()
        self.name: str = info.index_name
        self.dims: tuple[int, ...] = dims
        self.row: DatumTypeRow = row
        self._buffer = ByteBuffer(self.nbytes)

    @property
    def datum_type(self) -> ModelDatumType:
        """The element type."""
        return self.row.datum_type

    @property
    def is_whole(self) -> bool:
        """Whether all bytes came that the declared shape asks for."""
        return len(self._buffer) == self.nbytes

    @property
    def data(self) -> bytes | memoryview:
        """The bytes that came so far."""
        return self._buffer.content()

    def extend(self, chunk: bytes) -> None:
        """Append a chunk.

        Raises:
            RefusalError: more came than the declared shape holds.
        """
        if len(self._buffer) + len(chunk) > self.nbytes:
            raise _malformed()
        self._buffer.append(chunk)

    def as_array(self) -> Array:
        """View the bytes as an array of the declared shape (Bool: a normalized copy)."""
        if not self.nbytes:
            return np.empty(self.dims, self.row.numpy)
        if self.row.datum_type is ModelDatumType.Bool:
            # Any byte may come; one that is neither 0 nor 1 is no valid bool in memory.
            truth: Array = np.frombuffer(self.data, np.uint8) != 0
            return truth.reshape(self.dims)
        return np.frombuffer(self.data, self.row.numpy).reshape(self.dims)


class InputAssembler:
    """Joins the chunks of one `RunModel` stream into its input tensors.

    A chunk belongs to the tensor of the same index, or of the same non-empty name. Inputs keep the
    order in which they first came.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._received = 0
        self._tensors: list[ArrivingTensor] = []
        self._by_index: dict[int, ArrivingTensor] = {}
        self._by_name: dict[str, ArrivingTensor] = {}

    def add(self, chunk: pb.TensorData) -> int:
        """Take one chunk and return its number of tensor bytes.

        Raises:
            RefusalError: too much in all, more than declared, or a declaration that is none.
        """
        info, data = chunk.info, chunk.bytes_data
        self._received += len(data)
        if self._received > self._max_bytes:
            raise invalid_argument("Input is too big")
        tensor = self._by_index.get(info.index)
        if tensor is None and self._by_name:
            tensor = self._by_name.get(info.index_name)
        if tensor is None:
            tensor = self._begin(info)
        tensor.extend(data)
        return len(data)

    def finish(self) -> list[ArrivingTensor]:
        """The whole tensors, in order of first arrival.

        Raises:
            RefusalError: one of them has fewer bytes than its shape asks for.
        """
        for tensor in self._tensors:
            if not tensor.is_whole:
                raise _malformed()
        return self._tensors

    def _begin(self, info: pb.TensorInfo) -> ArrivingTensor:
        if len(self._tensors) >= _MAX_TENSORS:
            raise invalid_argument("Input has too many tensors")
        tensor = ArrivingTensor(info)
        self._tensors.append(tensor)
        self._by_index[info.index] = tensor
        if info.index_name:
            self._by_name[info.index_name] = tensor
        return tensor
