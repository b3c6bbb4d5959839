"""The PCCS itself: connections, requests, and the faults that a test puts in their way."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from dataclasses import replace
from typing import TYPE_CHECKING, Self

from blindai_async.server.tee.emulated.emulated import EmulatedPlatform
from blindai_async.server.tee.emulated.pccs.answers import Answer, answer, issuer_header
from blindai_async.server.tee.emulated.pccs.editions import Editions
from blindai_async.server.tee.emulated.pccs.faults import Fault
from blindai_async.server.tee.emulated.pccs.http import (
    MAX_HEAD,
    Request,
    RequestError,
    read_request,
    reset,
    write_answer,
)
from blindai_async.server.tee.emulated.pccs.tls import loopback_tls

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

__all__ = ["EmulatedPccs"]

_HOST = "127.0.0.1"
_SOUND = Fault()


class EmulatedPccs:
    """A PCCS on loopback that serves one emulated platform's collateral. For tests.

    Use it as an async context manager. After `stop`, and after the context has ended, connections
    are refused; `start` serves again on the same port.

    Args:
        platform: whose collateral is served. The attribute may be replaced while the service
            runs, as when Intel publishes a newer evaluation.
        tls: whether over TLS, with a certificate of its own; else over plain HTTP.
        faults: what goes wrong from the start, by path fragments; see `fail`.

    Attributes:
        requests: path and query of each request so far, in order, those that failed included.
    """

    def __init__(
        self,
        platform: EmulatedPlatform,
        *,
        tls: bool = True,
        faults: Mapping[str, Fault] | None = None,
    ) -> None:
        self._given, self._editions = platform, Editions(platform)
        self.requests: list[str] = []
        self._tls: ssl.SSLContext | None = None
        self._ca_pem = b""
        if tls:
            self._tls, self._ca_pem = loopback_tls(_HOST)
        self._faults: dict[str, _Planned] = {}
        self._port = 0
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        for fragment, fault in (faults or {}).items():
            self.fail(fragment, fault)

    @property
    def platform(self) -> EmulatedPlatform:
        """Whose collateral is served."""
        return self._given

    @platform.setter
    def platform(self, platform: EmulatedPlatform) -> None:
        self._given, self._editions = platform, Editions(platform)

    @property
    def url(self) -> str:
        """The base URL, without a slash at its end."""
        if not self._port:
            raise RuntimeError("the PCCS was not started yet: it has no port")
        return f"{'https' if self._tls else 'http'}://{_HOST}:{self._port}"

    @property
    def ca_pem(self) -> bytes:
        """The certificate, PEM, that vouches for the service's own; b"" without TLS."""
        return self._ca_pem

    def fail(self, path_fragment: str, fault: Fault | None, *, times: int | None = None) -> None:
        """Let requests go wrong.

        Args:
            path_fragment: of the path with its query, such as "/tcb?" or "encoding=der"; "" is
                in all. Where several fit, the one that was put last counts.
            fault: what goes wrong; None takes the fault away.
            times: how many requests it hits; None for all.
        """
        self._faults.pop(path_fragment, None)
        if fault is not None:
            self._faults[path_fragment] = _Planned(fault, times)

    async def start(self) -> None:
        """Listen, on the port of before if there was one."""
        if self._server is None:
            self._server = await asyncio.start_server(
                self._accept, _HOST, self._port, ssl=self._tls, limit=MAX_HEAD
            )
            self._port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Close the port and all connections."""
        if self._server is None:
            return
        server, self._server = self._server, None
        server.close()
        connections = list(self._connections)
        for connection in connections:
            connection.cancel()
        # From Python 3.12 on `wait_closed` also waits for peers that never end their handshake.
        await asyncio.gather(*connections, return_exceptions=True)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A task that asyncio's streams make would be reported as an error where it is cancelled.
        task = asyncio.create_task(self._serve(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            # A client that breaks off is its own affair.
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                while await self._exchange(reader, writer):
                    pass
                writer.close()
                await writer.wait_closed()
        finally:
            writer.transport.abort()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; returns whether there may be another."""
        try:
            request = await read_request(reader)
        except RequestError as error:
            refusal = Answer(status=error.status)
            return await write_answer(writer, refusal, _SOUND, keep_alive=False)
        if request is None:
            return False
        self.requests.append(request.target)
        fault = self._fault(request.target)
        if fault.reset:
            reset(writer)
            return False
        given = self._answer(request, fault)
        return await write_answer(writer, given, fault, keep_alive=request.keep_alive)

    def _fault(self, target: str) -> Fault:
        for fragment, planned in reversed(self._faults.items()):
            if fragment in target and planned.hits():
                return planned.fault
        return _SOUND

    def _answer(self, request: Request, fault: Fault) -> Answer:
        editions = self._editions.expired if fault.stale else self._editions
        right = answer(editions, request.target)
        headers = dict(right.headers)
        for name in [name for name in headers if name.endswith("-Issuer-Chain")]:
            if fault.foreign_issuer:
                issuers = ("intermediate", "root") if "PCK" in name else ("tcb_signer", "root")
                headers[name] = issuer_header(EmulatedPlatform().blueprint.pki.pem(*issuers))
            elif fault.issuer_chain is not None:
                headers[name] = issuer_header(fault.issuer_chain)
                if not fault.issuer_chain:
                    del headers[name]
        if fault.status is not None:
            right = Answer(status=fault.status)
            headers = {}
        body = right.body if fault.body is None else fault.body
        return replace(right, headers={**headers, **fault.headers}, body=body)


class _Planned:
    """A fault, and how many requests it still hits."""

    def __init__(self, fault: Fault, times: int | None) -> None:
        self.fault = fault
        self._left = times

    def hits(self) -> bool:
        """Whether the fault hits a request that fits; counts it."""
        if self._left is None:
            return True
        self._left -= 1
        return self._left >= 0
