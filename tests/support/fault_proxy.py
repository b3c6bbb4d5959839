"""A TCP proxy that does to a connection what networks and their owners do to it.

It stands between a client and one port of a server. Without `tls` it passes ciphertext on, late, in
part or altered; with it, it is a man in the middle: it ends the client's TLS with a certificate of
its own (or takes no TLS at all), opens another one to the server, and notes every byte that a
client was willing to tell it.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from raw_http2 import server_context

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["TO_CLIENT", "TO_SERVER", "FaultProxy", "Faults", "man_in_the_middle", "no_tls"]

TO_SERVER, TO_CLIENT = "to server", "to client"
_BLOCK = 1 << 16


@dataclass
class Faults:
    """What happens to what passes. May be changed at any time; acts on live connections too.

    Attributes:
        delay: seconds that each block is held back.
        bytes_per_second: the throughput in each direction; None does not limit it.
        cut_after: bytes of a connection, by direction, after which it is closed.
        corrupt_at: offset in a connection, by direction, of the next byte that is flipped.
        blackhole: nothing passes any more, and nobody is told.
        refuse: new connections are closed at once.
    """

    delay: float = 0.0
    bytes_per_second: float | None = None
    cut_after: dict[str, int] = field(default_factory=dict)
    corrupt_at: dict[str, int] = field(default_factory=dict)
    blackhole: bool = False
    refuse: bool = False


class FaultProxy:
    """The proxy. An async context manager.

    Args:
        port: of the server, on this machine.
        tls: what the client is met with in TLS's place; None leaves its TLS alone.
        record: whether bytes are noted; a soak would fill the memory with them.
        receive_buffer: bytes that the system takes from a client ahead of the proxy; None leaves it
            to choose, which may be megabytes: what a client writes then looks sent.

    Attributes:
        port: where clients connect.
        upstream_port: where new connections lead; may be changed.
        faults: what happens to what passes.
        seen: the bytes that came from either side, by direction: plaintext for a man in the middle.
        accepted: how many connections there have been.
        held: bytes that came from either side and are not passed on.
    """

    def __init__(
        self,
        port: int,
        *,
        tls: TlsInterception | None = None,
        record: bool = True,
        receive_buffer: int | None = None,
    ) -> None:
        self.port = 0
        self.upstream_port = port
        self.faults = Faults()
        self.seen = {TO_SERVER: bytearray(), TO_CLIENT: bytearray()}
        self.accepted = 0
        self.held = 0
        self._tls = tls
        self._record = record
        self._receive_buffer = receive_buffer
        self._server: asyncio.Server | None = None
        self._live: dict[asyncio.Task[None], list[asyncio.StreamWriter]] = {}

    async def __aenter__(self) -> Self:
        accept_tls = None if self._tls is None else self._tls.accept
        listener = socket.create_server(("127.0.0.1", 0))
        if self._receive_buffer is not None:  # which the sockets that it accepts inherit
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_buffer)
        self._server = await asyncio.start_server(
            self._meet, sock=listener, ssl=accept_tls, limit=_BLOCK
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        await self.cut_all()

    @property
    def open_connections(self) -> int:
        """How many connections there are."""
        return len(self._live)

    async def cut_all(self, *, reset: bool = False) -> None:
        """End every connection; `reset` with a RST instead of a FIN."""
        tasks = list(self._live)
        for writers in self._live.values():
            for writer in writers:
                _end(writer, reset=reset)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        if self.faults.refuse:
            _end(writer, reset=True)
            return
        writers = [writer]
        task = asyncio.get_running_loop().create_task(self._carry(reader, writer, writers))
        self._live[task] = writers
        task.add_done_callback(lambda task: self._live.pop(task, None))

    async def _carry(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        writers: list[asyncio.StreamWriter],
    ) -> None:
        try:
            server_reader, server_writer = await asyncio.open_connection(
                "127.0.0.1",
                self.upstream_port,
                ssl=None if self._tls is None else self._tls.connect,
            )
        except OSError:
            _end(writer, reset=True)  # as a port where nobody listens would do
            return
        writers.append(server_writer)
        pumps = (
            self._pump(reader, server_writer, TO_SERVER),
            self._pump(server_reader, writer, TO_CLIENT),
        )
        tasks = [asyncio.ensure_future(pump) for pump in pumps]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for each in writers:
                _end(each, reset=False)

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, direction: str
    ) -> None:
        passed = 0
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            while block := await reader.read(_BLOCK):
                if self._record:
                    self.seen[direction] += block
                await self._hold_back(len(block))
                block = self._altered(block, passed, direction)
                passed += len(block)
                writer.write(block)
                await writer.drain()
                if passed >= self.faults.cut_after.get(direction, 1 << 62):
                    return

    async def _hold_back(self, size: int) -> None:
        pause = self.faults.delay
        if self.faults.bytes_per_second is not None:
            pause += size / self.faults.bytes_per_second
        if pause:
            await asyncio.sleep(pause)
        self.held += size
        while self.faults.blackhole:  # noqa: ASYNC110 - a plain attribute is what tests set
            await asyncio.sleep(0.01)
        self.held -= size

    def _altered(self, block: bytes, passed: int, direction: str) -> bytes:
        at = self.faults.corrupt_at.get(direction, -1) - passed
        if 0 <= at < len(block):
            del self.faults.corrupt_at[direction]
            block = block[:at] + bytes([block[at] ^ 0x10]) + block[at + 1 :]
        return block[: max(0, self.faults.cut_after.get(direction, 1 << 62) - passed)]


@dataclass(frozen=True)
class TlsInterception:
    """How a man in the middle speaks to both sides.

    Attributes:
        accept: with the client; None speaks plaintext.
        connect: with the server.
    """

    accept: ssl.SSLContext | None
    connect: ssl.SSLContext


def man_in_the_middle(identity: tuple[bytes, bytes]) -> TlsInterception:
    """End the client's TLS with this private key and certificate, PEM."""
    return TlsInterception(server_context(identity), _trusting())


def no_tls() -> TlsInterception:
    """Take what the client sends as plaintext HTTP/2."""
    return TlsInterception(None, _trusting())


def _trusting() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    return context


def _end(writer: asyncio.StreamWriter, *, reset: bool) -> None:
    if reset:
        connection: socket.socket | None = writer.get_extra_info("socket")
        if connection is not None and connection.fileno() != -1:
            with contextlib.suppress(OSError):
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
