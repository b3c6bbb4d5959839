"""A gRPC relay: an attacker who holds a port's key, reads every message and may alter replies."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Self

import grpc

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["Relay"]

Tamper = Callable[[str, bytes, bytes], "bytes | Awaitable[bytes]"]


class Relay:
    """Passes calls on to a server. An async context manager.

    Args:
        upstream_port: of the server, on this machine.
        upstream_pem: the server's certificate.
        identity: private key and certificate, PEM, that clients are shown.
        tamper: makes the reply that the client gets of the path, the whole request and the true
            reply; may be changed at any time.

    Attributes:
        port: where clients connect.
        silence: seconds; a place for what `tamper` keeps replies back for.
        abort_with: a status and its details with which every call ends, or None.
        requests: path and bytes of each request.
    """

    def __init__(
        self,
        upstream_port: int,
        upstream_pem: bytes,
        identity: tuple[bytes, bytes],
        tamper: Tamper | None = None,
    ) -> None:
        self.port = 0
        self.tamper = tamper
        self.silence = 0.0
        self.abort_with: tuple[grpc.StatusCode, str] | None = None
        self.requests: list[tuple[str, bytes]] = []
        self._upstream = (upstream_port, upstream_pem)
        self._identity = identity

    async def __aenter__(self) -> Self:
        port, pem = self._upstream
        self._channel = grpc.aio.secure_channel(
            f"127.0.0.1:{port}",
            grpc.ssl_channel_credentials(pem),
            options=[
                ("grpc.ssl_target_name_override", "blindai-srv"),
                ("grpc.max_receive_message_length", -1),
                ("grpc.use_local_subchannel_pool", 1),
            ],
        )
        self._server = grpc.aio.server(
            options=[("grpc.max_receive_message_length", -1), ("grpc.so_reuseport", 0)]
        )
        self._server.add_generic_rpc_handlers([_AnyPath(self._carry)])
        self.port = self._server.add_secure_port(
            "127.0.0.1:0", grpc.ssl_server_credentials([self._identity])
        )
        await self._server.start()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._server.stop(None)
        await self._channel.close()

    async def _carry(self, path: str, messages: Any, context: Any) -> bytes:
        frames = [message async for message in messages]
        request = b"".join(frames)
        self.requests.append((path, request))
        if self.abort_with is not None:
            await context.abort(*self.abort_with)
        try:
            reply: bytes = await self._channel.stream_unary(path)(iter(frames))
        except grpc.aio.AioRpcError as error:
            await context.abort(error.code(), error.details())
            raise
        if self.tamper is not None:
            tampered = self.tamper(path, request, reply)
            reply = tampered if isinstance(tampered, bytes) else await tampered
        return reply


class _AnyPath(grpc.GenericRpcHandler):
    def __init__(self, carry: Callable[[str, Any, Any], Awaitable[bytes]]) -> None:
        self._carry = carry

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any]:
        path = details.method

        async def handle(messages: Any, context: Any) -> bytes:
            return await self._carry(path, messages, context)

        return grpc.stream_unary_rpc_method_handler(handle)
