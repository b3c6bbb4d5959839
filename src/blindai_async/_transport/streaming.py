"""A streamed request and its one reply: sent whole, or not at all."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from grpc import StatusCode
from grpc.aio import AioRpcError, InternalError, Metadata

from blindai_async._base_errors import TransportError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Coroutine, Sequence

    from grpc.aio import StreamUnaryCall, StreamUnaryMultiCallable

__all__ = ["send", "send_watched"]

_T = TypeVar("_T")

# Statuses that say nothing of why a server ended a call: it did not refuse it, gRPC may have made
# the status up, or this side cancelled the call.
_UNTOLD = frozenset({StatusCode.OK, StatusCode.INTERNAL, StatusCode.CANCELLED})


async def send(
    method: StreamUnaryMultiCallable[bytes, bytes],
    frames: AsyncGenerator[bytes, None],
    timeout: float,
    metadata: Sequence[tuple[str, str]],
) -> bytes:
    """Write every frame, then await the reply; whatever ends it early cancels the call.

    Raises:
        AioRpcError: the status that the server ended the call with.
        TransportError: the server answered before it had the whole request.
    """
    call = method(timeout=timeout, metadata=metadata)
    ended = _statuses_of(call)
    try:
        try:
            async with aclosing(frames):
                async for frame in frames:
                    await call.write(frame)
            await call.done_writing()
        except (asyncio.InvalidStateError, AioRpcError, InternalError):
            # The server ended the call while we were writing. Its status says why, but gRPC writes
            # an INTERNAL of its own over it, or puts that in its place until the server's comes.
            _raise_told(ended)
            await call
            _refuse_early_answer()
        return await call
    finally:
        call.cancel()  # has no effect on a call that is done


async def send_watched(
    method: StreamUnaryMultiCallable[bytes, bytes],
    frames: AsyncGenerator[bytes, None],
    timeout: float,
    metadata: Sequence[tuple[str, str]],
) -> bytes:
    """Let gRPC fetch the frames: `send`, on a channel whose streams are intercepted.

    An interceptor may await the call before it returns it, as OpenTelemetry's does. A write waits
    for the interceptor, which would wait for the answer to what was not written yet, for ever.

    Raises:
        AioRpcError: see `send`; so is `TransportError`.
    """
    whole = False
    failures: list[Exception] = []

    async def fetched() -> AsyncGenerator[bytes, None]:
        nonlocal whole
        try:
            async with aclosing(frames):
                async for frame in frames:
                    yield frame
            whole = True
        except Exception as error:
            failures.append(error)  # gRPC keeps it to itself, and cancels the call
            raise

    call = method(fetched(), timeout=timeout, metadata=metadata)
    ended = _statuses_of(call)
    try:
        reply = await call
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if not failures or (task is not None and task.cancelling()):
            raise
        raise failures[0] from None
    except AioRpcError:
        _raise_told(ended)
        raise
    finally:
        call.cancel()
    if not whole:
        _refuse_early_answer()
    return reply


def _refuse_early_answer() -> NoReturn:
    # An answer to half a model, or to half the inputs, is not one to what was asked.
    raise TransportError("the server answered before it had the whole request") from None


def _statuses_of(call: StreamUnaryCall[bytes, bytes]) -> list[tuple[StatusCode, str]]:
    """Note the status that a call ends with, before gRPC can write another over it."""
    ended: list[tuple[StatusCode, str]] = []
    call.add_done_callback(lambda done: ended.append((_now(done.code()), _now(done.details()))))
    return ended


def _raise_told(ended: list[tuple[StatusCode, str]]) -> None:
    if ended and ended[0][0] not in _UNTOLD:
        code, details = ended[0]
        raise AioRpcError(code, Metadata(), Metadata(), details) from None


def _now(settled: Coroutine[Any, Any, _T]) -> _T:
    """The result of a coroutine that has nothing to wait for: a status, where the call is done."""
    try:
        settled.send(None)
    except StopIteration as finished:
        result: _T = finished.value
        return result
    settled.close()
    raise RuntimeError("a call that is done does not tell its status")
