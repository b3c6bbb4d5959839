"""The standard gRPC health service: is the port serving, or about to stop?

Source: https://github.com/grpc/grpc/blob/master/doc/health-checking.md
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import grpc

from blindai_async._pb import health_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    Context = grpc.aio.ServicerContext[pb.HealthCheckRequest, pb.HealthCheckResponse]

__all__ = ["HealthService"]

_Status = pb.HealthCheckResponse.ServingStatus


class HealthService:
    """Answers `Check` and `Watch` for one port.

    Args:
        service: the gRPC service on that port; the empty name stands for the port as a whole.
    """

    def __init__(self, service: str) -> None:
        self._services = frozenset({"", service})
        self._serving = True
        self._changed = asyncio.Event()

    def stop_serving(self) -> None:
        """Answer NOT_SERVING from now on, and tell all who watch."""
        self._serving = False
        self._changed.set()

    def handler(self) -> grpc.GenericRpcHandler:
        """What to register with the port's server."""
        decode = pb.HealthCheckRequest.FromString
        encode = pb.HealthCheckResponse.SerializeToString
        return grpc.method_handlers_generic_handler(
            "grpc.health.v1.Health",
            {
                "Check": grpc.unary_unary_rpc_method_handler(self._check, decode, encode),
                "Watch": grpc.unary_stream_rpc_method_handler(self._watch, decode, encode),
            },
        )

    async def _check(
        self, request: pb.HealthCheckRequest, context: Context
    ) -> pb.HealthCheckResponse:
        if request.service not in self._services:
            await context.abort(grpc.StatusCode.NOT_FOUND, "Unknown service")
        return self._response()

    async def _watch(
        self, request: pb.HealthCheckRequest, _context: Context
    ) -> AsyncIterator[pb.HealthCheckResponse]:
        if request.service not in self._services:
            yield pb.HealthCheckResponse(status=_Status.SERVICE_UNKNOWN)
            # The protocol keeps the stream open, as the service might appear later.
            await asyncio.get_running_loop().create_future()
        yield self._response()
        await self._changed.wait()
        yield self._response()
        await asyncio.get_running_loop().create_future()

    def _response(self) -> pb.HealthCheckResponse:
        return pb.HealthCheckResponse(
            status=_Status.SERVING if self._serving else _Status.NOT_SERVING
        )
