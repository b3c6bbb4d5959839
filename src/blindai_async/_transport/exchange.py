"""The three calls of the attested port, on serialized messages."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from grpc import StatusCode
from grpc.aio import AioRpcError, Metadata, StreamUnaryClientInterceptor

from blindai_async._transport.paths import DELETE_MODEL, RUN_MODEL, SEND_MODEL
from blindai_async._transport.rpc_errors import from_rpc_error
from blindai_async.errors import TransportError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence

    from grpc.aio import (
        Channel,
        ClientInterceptor,
        StreamUnaryCall,
        StreamUnaryMultiCallable,
        UnaryUnaryMultiCallable,
    )

__all__ = ["AttestedPort"]

_T = TypeVar("_T")

# Statuses that say nothing of why a server ended a call: it did not refuse it, gRPC may have made
# the status up, or this side cancelled the call.
_UNTOLD = frozenset({StatusCode.OK, StatusCode.INTERNAL, StatusCode.CANCELLED})


class AttestedPort:
    """Speaks to the enclave, over the channel that ends inside it.

    Args:
        channel: pinned to the enclave's certificate.
        metadata: goes with every call.
        interceptors: the caller's, as the channel has them.
    """

    def __init__(
        self,
        channel: Channel,
        metadata: Sequence[tuple[str, str]] = (),
        interceptors: Sequence[ClientInterceptor] = (),
    ) -> None:
        self.channel = channel
        self._metadata = metadata
        self._run_stream: StreamUnaryMultiCallable[bytes, bytes] = channel.stream_unary(RUN_MODEL)
        self._send_stream: StreamUnaryMultiCallable[bytes, bytes] = channel.stream_unary(SEND_MODEL)
        self._delete: UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(DELETE_MODEL)
        # On the wire a stream of one message is the same as a unary call, which costs gRPC's
        # asyncio layer less. A caller who intercepts streams is shown the streams that there are.
        streams_watched = any(isinstance(i, StreamUnaryClientInterceptor) for i in interceptors)
        self._run_single: UnaryUnaryMultiCallable[bytes, bytes] | None = (
            None if streams_watched else channel.unary_unary(RUN_MODEL)
        )

    async def run_model(self, frames: Iterator[bytes], timeout: float) -> bytes:
        """Send a prediction's messages; returns the serialized `RunModelReply`.

        Raises:
            TransportError: no proper answer came.
        """
        first = next(frames)
        second = next(frames, None)
        try:
            if second is None and self._run_single is not None:
                reply: bytes = await self._run_single(
                    first, timeout=timeout, metadata=self._metadata
                )
                return reply
            call = self._run_stream(timeout=timeout, metadata=self._metadata)
            return await _send(call, _chain(first, second, frames))
        except AioRpcError as error:
            raise from_rpc_error(error, "predict") from error

    async def send_model(self, frames: AsyncIterator[bytes], timeout: float) -> bytes:
        """Send a model's messages; returns the serialized `SendModelReply`.

        Raises:
            TransportError: no proper answer came.
        """
        try:
            return await _send(self._send_stream(timeout=timeout, metadata=self._metadata), frames)
        except AioRpcError as error:
            raise from_rpc_error(error, "upload_model") from error

    async def delete_model(self, request: bytes, timeout: float) -> bytes:
        """Send a serialized `DeleteModelRequest`; returns the serialized reply.

        Raises:
            TransportError: no proper answer came.
        """
        try:
            reply: bytes = await self._delete(request, timeout=timeout, metadata=self._metadata)
        except AioRpcError as error:
            raise from_rpc_error(error, "delete_model") from error
        return reply


async def _send(call: StreamUnaryCall[bytes, bytes], frames: AsyncIterator[bytes]) -> bytes:
    """Write every frame, then await the reply; whatever ends it early cancels the call."""
    ended: list[tuple[StatusCode, str]] = []
    call.add_done_callback(lambda done: ended.append((_now(done.code()), _now(done.details()))))
    try:
        try:
            async for frame in frames:
                await call.write(frame)
            await call.done_writing()
        except (asyncio.InvalidStateError, AioRpcError):
            # The server ended the call while we were writing. Its status says why, but gRPC writes
            # an INTERNAL of its own over it, or puts that in its place until the server's comes.
            if ended and ended[0][0] not in _UNTOLD:
                code, details = ended[0]
                raise AioRpcError(code, Metadata(), Metadata(), details) from None
            await call
            # An answer to half a model, or to half the inputs, is not one to what was asked.
            raise TransportError("the server answered before it had the whole request") from None
        return await call
    finally:
        call.cancel()  # has no effect on a call that is done


def _now(settled: Coroutine[Any, Any, _T]) -> _T:
    """The result of a coroutine that has nothing to wait for: a status, where the call is done."""
    try:
        settled.send(None)
    except StopIteration as finished:
        result: _T = finished.value
        return result
    settled.close()
    raise RuntimeError("a call that is done does not tell its status")


async def _chain(first: bytes, second: bytes | None, rest: Iterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    if second is not None:
        yield second
    for frame in rest:
        yield frame
