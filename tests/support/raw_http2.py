"""An HTTP/2 server made of bare frames, for what no gRPC server would ever send.

RFC 9113. It reads no more of a request than where its streams begin and end.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import struct
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType

__all__ = ["RawHttp2Server", "Stream"]

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = (
    0, 1, 3, 4, 6, 7, 8, 9,
)  # fmt: skip
END_STREAM, END_HEADERS, ACK = 0x1, 0x4, 0x1
_PREFACE = len(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
_MAX_FRAME = 1 << 14
# HPACK (RFC 7541): ":status: 200" is entry 8 of the static table, "content-type" 31.
_RESPONSE_HEADERS = b"\x88\x0f\x10\x10application/grpc"
_TRAILERS_OK = b"\x00\x0bgrpc-status\x010"


class Stream:
    """One request of a client, which has been sent whole."""

    def __init__(self, number: int, index: int, writer: asyncio.StreamWriter) -> None:
        self.number = number
        self.index = index
        self._writer = writer

    async def frame(self, kind: int, flags: int, payload: bytes, stream: int | None = None) -> None:
        """Send a frame, of this stream unless another is named."""
        number = self.number if stream is None else stream
        head = struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, number)
        if self._writer.is_closing():  # asyncio would go on, and write to nobody
            raise ConnectionResetError("the client has left")
        self._writer.write(head + payload)
        await self._writer.drain()

    async def begin(self) -> None:
        """Send the response's headers."""
        await self.frame(HEADERS, END_HEADERS, _RESPONSE_HEADERS)

    async def data(self, content: bytes) -> None:
        """Send bytes of the response's body."""
        for start in range(0, len(content), _MAX_FRAME):
            await self.frame(DATA, 0, content[start : start + _MAX_FRAME])
        await asyncio.sleep(0)  # the client under test runs on this loop, too

    async def message_head(self, size: int, *, compressed: bool = False) -> None:
        """Announce a gRPC message of so many bytes."""
        await self.data(struct.pack(">BI", compressed, size))

    async def answer(self, message: bytes) -> None:
        """Answer as a gRPC server does."""
        await self.begin()
        await self.message_head(len(message))
        await self.data(message)
        await self.frame(HEADERS, END_HEADERS | END_STREAM, _TRAILERS_OK)

    async def reset(self, error_code: int) -> None:
        """End the stream with RST_STREAM."""
        await self.frame(RST_STREAM, 0, struct.pack(">I", error_code))


class RawHttp2Server:
    """Listens with TLS; `answer` is called for each request. An async context manager.

    Args:
        identity: private key and certificate, PEM.
        answer: answers a request, the n-th of the server counted by `Stream.index`.
    """

    def __init__(
        self, identity: tuple[bytes, bytes], answer: Callable[[Stream], Awaitable[None]]
    ) -> None:
        self.port = 0
        self.requests = 0
        self._answer = answer
        self._context = server_context(identity)
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._meet, "127.0.0.1", 0, ssl=self._context)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._start(self._serve(reader, writer))

    def _start(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
                await reader.readexactly(_PREFACE)
                writer.write(b"\x00\x00\x00\x04\x00\x00\x00\x00\x00")  # SETTINGS, empty
                while True:
                    await self._read_frame(reader, writer)
        finally:
            writer.transport.abort()

    async def _read_frame(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readexactly(9)
        size = int.from_bytes(head[:3])
        kind, flags, number = struct.unpack(">BBI", head[3:])
        payload = await reader.readexactly(size)
        if kind == SETTINGS and not flags & ACK:
            writer.write(b"\x00\x00\x00\x04\x01\x00\x00\x00\x00")
        elif kind == PING and not flags & ACK:
            writer.write(head[:4] + bytes([ACK]) + head[5:] + payload)
        elif kind in (HEADERS, DATA) and flags & END_STREAM:
            self.requests += 1
            self._start(self._respond(Stream(number, self.requests, writer)))

    async def _respond(self, stream: Stream) -> None:
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            await self._answer(stream)


def server_context(identity: tuple[bytes, bytes]) -> ssl.SSLContext:
    """A TLS server's context from a private key and a certificate chain, PEM."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "identity.pem"
        file.write_bytes(b"\n".join(identity))
        context.load_cert_chain(file)
    context.set_alpn_protocols(["h2"])
    return context
