"""Bytes that arrive in pieces, put together once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["ByteBuffer"]

_FORESIGHT = 4
_RESERVED_AT_ONCE = 16 * 2**20


class ByteBuffer:
    """A buffer that grows towards an expected size.

    One piece is kept as it is, without a copy. Several are copied into memory that is reserved
    ahead: a `bytearray` that grows piece by piece costs four times as much (100 ms for 100 MB).
    What is reserved takes no memory until it is written, and is bounded all the same: 16 MiB or
    four times what came, whatever was announced.

    Args:
        expected: how many bytes are announced; more may come.
    """

    __slots__ = ("_expected", "_memory", "_size")

    def __init__(self, expected: int) -> None:
        self._expected = expected
        self._memory: bytes | npt.NDArray[Any] = b""
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def append(self, piece: bytes) -> None:
        """Add a piece at the end."""
        end = self._size + len(piece)
        if not self._size:
            self._memory = piece
        elif piece:
            memory = self._memory
            if isinstance(memory, bytes) or end > memory.nbytes:
                memory = self._memory = self._grown(end)
            memory.data[self._size : end] = piece
        self._size = end

    def content(self) -> bytes | memoryview:
        """All bytes, without a copy; not to be appended to while in use."""
        if isinstance(self._memory, bytes):
            return self._memory
        return self._memory.data[: self._size]

    def _grown(self, end: int) -> npt.NDArray[Any]:
        if end <= self._expected:
            capacity = min(self._expected, max(_FORESIGHT * end, _RESERVED_AT_ONCE))
        else:  # more comes than was announced
            capacity = end + end // 2
        memory = np.empty(capacity, np.uint8)
        memory.data[: self._size] = self.content()
        return memory
