"""A streamed request and its one reply: sent whole, or not at all."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from grpc import StatusCode
from grpc.aio import AioRpcError, Metadata

from blindai_async._base_errors import TransportError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Coroutine, Sequence

    from grpc.aio import StreamUnaryCall, StreamUnaryMultiCallable

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
    """Have every frame written, and await the reply beside it; what ends it early cancels the call.

    gRPC fetches the frames, in a task of its own. Writing them from here would be wrong twice: a
    write ends only when the transport has taken it, however long the call has been over. And an
    interceptor may await the call before it returns it, as OpenTelemetry's does, which it may have
    put on the channel without a word to us: a write would wait for the interceptor, which would
    wait for the answer to what was not written yet, for ever.

    Raises:
        AioRpcError: the status that the server ended the call with.
        TransportError: the server answered before it had the whole request.
    """
    request = _Request(frames)
    call = method(request.frames(), timeout=timeout, metadata=metadata)
    ended = _statuses_of(call)
    try:
        reply = await call
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if request.failure is None or (task is not None and task.cancelling()):
            raise
        raise request.failure from None
    except AioRpcError:
        # gRPC writes an INTERNAL of its own over the status of a call that ended while a frame was
        # being written, or puts that in its place until the server's comes.
        if ended and ended[0][0] not in _UNTOLD:
            code, details = ended[0]
            raise AioRpcError(code, Metadata(), Metadata(), details) from None
        raise
    finally:
        call.cancel()  # has no effect on a call that is done
        request.stop()
    if not request.whole:
        _refuse_early_answer()
    return reply


class _Request:
    """The frames of one request, as gRPC fetches them.

    Attributes:
        whole: whether all of them were fetched.
        failure: what fetching them raised. gRPC keeps it to itself, and cancels the call.
    """

    def __init__(self, frames: AsyncGenerator[bytes, None]) -> None:
        self.whole = False
        self.failure: Exception | None = None
        self._frames = frames
        self._writer: asyncio.Task[Any] | None = None

    async def frames(self) -> AsyncGenerator[bytes, None]:
        self._writer = asyncio.current_task()
        try:
            async with aclosing(self._frames):
                async for frame in self._frames:
                    yield frame
            self.whole = True
        except Exception as error:
            self.failure = error
            raise

    def stop(self) -> None:
        """End the task that writes, which gRPC leaves behind where a call ends before it.

        It may be writing to a peer that reads nothing. It is gRPC's, or an interceptor's: nothing
        that awaits it is a caller of ours.
        """
        if self._writer is not None and not self._writer.done():
            self._writer.cancel()


def _refuse_early_answer() -> NoReturn:
    # An answer to half a model, or to half the inputs, is not one to what was asked.
    raise TransportError("the server answered before it had the whole request") from None


def _statuses_of(call: StreamUnaryCall[bytes, bytes]) -> list[tuple[StatusCode, str]]:
    """Note the status that a call ends with, before gRPC can write another over it."""
    ended: list[tuple[StatusCode, str]] = []
    call.add_done_callback(lambda done: ended.append((_now(done.code()), _now(done.details()))))
    return ended


def _now(settled: Coroutine[Any, Any, _T]) -> _T:
    """The result of a coroutine that has nothing to wait for: a status, where the call is done."""
    try:
        settled.send(None)
    except StopIteration as finished:
        result: _T = finished.value
        return result
    settled.close()
    raise RuntimeError("a call that is done does not tell its status")
