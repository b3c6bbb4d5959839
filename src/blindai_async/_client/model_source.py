"""A model on its way out: read in blocks off the loop, hashed as it is read."""

from __future__ import annotations

import hashlib
import os
import threading
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from blindai_async._transport.threads import Purpose, run_in_thread

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

# Read and hashed in one visit to a worker thread: long enough to be worth the visit, short enough
# that memory stays flat.
_BLOCK = 2 << 20


class ModelSource:
    """A model being read.

    Attributes:
        name: its file's name, or "".
        size: its length in bytes.
    """

    def __init__(self, stream: BinaryIO | None, content: memoryview, name: str, size: int) -> None:
        self.name = name
        self.size = size
        self._stream = stream
        self._content = content
        self._digest = hashlib.sha256()
        self._reading = threading.Lock()
        self._closed = False

    async def blocks(self) -> AsyncGenerator[memoryview, None]:
        """Read the model once, block by block.

        Raises:
            OSError: the file cannot be read, or is not as long as it was when it was opened.
        """
        done = 0
        # A read can take for ever, from a disk at the other end of a network: a call does not wait
        # for it past its deadline.
        while block := await run_in_thread(Purpose.FILES, self._next_block, done):
            done += block.nbytes
            yield block
        if done != self.size:
            raise OSError(f"{self.name} changed while it was sent: {done} bytes, not {self.size}")

    def _next_block(self, start: int) -> memoryview:
        try:
            with self._reading:
                block = self._read(start)
                self._digest.update(block)
                return block
        finally:
            if self._closed:
                self.close()  # whoever asked for it did not wait for the read

    def _read(self, start: int) -> memoryview:
        if self._stream is None:
            return self._content[start : start + _BLOCK]
        # One byte over the size shows a file that grew; what is sent is never longer.
        block = memoryview(self._stream.read(min(_BLOCK, self.size + 1 - start)))
        if start + block.nbytes > self.size:
            raise OSError(f"{self.name} grew while it was sent")
        return block

    def close(self) -> None:
        """Close the file; where it is being read, once that has ended."""
        self._closed = True
        if self._stream is not None and self._reading.acquire(blocking=False):
            try:
                self._stream.close()
            finally:
                self._reading.release()

    def sha256(self) -> bytes:
        """The digest of what has been read so far."""
        return self._digest.digest()


@asynccontextmanager
async def open_model(
    model: str | os.PathLike[str] | bytes | bytearray | memoryview,
) -> AsyncIterator[ModelSource]:
    """Open a model, from its path or its bytes.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is empty.
        TypeError: neither a path nor bytes.
    """
    if isinstance(model, bytes | bytearray | memoryview):
        content = memoryview(model).cast("B")
        yield _checked(ModelSource(None, content, "", content.nbytes))
        return
    if not isinstance(model, str | os.PathLike):
        raise TypeError(f"model is a {type(model).__name__}; pass a path or the model's bytes")
    path = Path(model)
    stream = await run_in_thread(Purpose.FILES, lambda: path.open("rb"))
    size = os.fstat(stream.fileno()).st_size
    source = ModelSource(stream, memoryview(b""), path.name, size)
    try:
        yield _checked(source)
    finally:
        source.close()


def _checked(source: ModelSource) -> ModelSource:
    if source.size == 0:
        raise ValueError(f"the model {source.name or 'given as bytes'} is empty")
    return source
