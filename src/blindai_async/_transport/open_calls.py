"""The calls under way on a channel: each ends by its deadline, and all of them with the channel.

gRPC settles a call at its deadline, but what awaits the call may go on waiting: a message that is
being written ends only when the transport takes it, and a peer that reads nothing never does. So
every call is also bounded here, by a timer of this side's own.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

from grpc import StatusCode
from grpc.aio import AioRpcError, Metadata

from blindai_async.errors import TransportError

if TYPE_CHECKING:
    from types import TracebackType

    from blindai_async._transport.heartbeat import Heartbeat

__all__ = ["GRPC_FIRST", "OpenCalls"]

# Seconds after the deadline in which gRPC may end the call itself: its status can be the peer's.
GRPC_FIRST = 0.1


class OpenCalls:
    """Bounds the calls of one channel. To be made inside the running loop.

    Args:
        heartbeat: is to beat while calls are under way.
    """

    def __init__(self, heartbeat: Heartbeat) -> None:
        self._heartbeat = heartbeat
        self._loop = asyncio.get_running_loop()
        self._open: set[_OpenCall] = set()
        self._closed = False
        self._idle = asyncio.Event()

    def bounded(self, timeout: float) -> _OpenCall:
        """A context in which the current task makes one call, for `timeout` seconds at most.

        Raises:
            AioRpcError: DEADLINE_EXCEEDED, where gRPC did not end the call by itself.
            TransportError: the channel was closed meanwhile, or before.
        """
        return _OpenCall(self, timeout)

    def close(self) -> None:
        """End every call under way, and every later one, at once."""
        self._closed = True
        self._heartbeat.stop()
        for call in tuple(self._open):
            call.end(_channel_closed())

    async def wait_idle(self, seconds: float) -> None:
        """Wait until no call is under way, this long at most."""
        try:
            async with asyncio.timeout(seconds):
                while self._open:
                    self._idle.clear()
                    await self._idle.wait()
        except TimeoutError:
            return

    def begin(self, call: _OpenCall, seconds: float) -> asyncio.TimerHandle:
        """Note a call; returns the timer that ends it."""
        if self._closed:
            raise _channel_closed()
        if not self._open:
            self._heartbeat.start()
        self._open.add(call)
        return self._loop.call_later(seconds, call.expire)

    def finish(self, call: _OpenCall) -> None:
        """Note that a call has ended."""
        self._open.remove(call)
        if not self._open:
            self._heartbeat.rest()
            self._idle.set()


class _OpenCall:
    """One call: cancels the task that makes it when its time is up, as `asyncio.timeout` does."""

    __slots__ = ("_calls", "_cancelling", "_reason", "_seconds", "_task", "_timer")

    def __init__(self, calls: OpenCalls, seconds: float) -> None:
        self._calls = calls
        self._seconds = seconds
        self._reason: Exception | None = None

    def __enter__(self) -> Self:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a call has to be made in a task")
        self._task: asyncio.Task[object] = task
        self._cancelling = task.cancelling()
        self._timer = self._calls.begin(self, self._seconds + GRPC_FIRST)
        return self

    def expire(self) -> None:
        """End the call: its deadline has passed."""
        self.end(
            AioRpcError(StatusCode.DEADLINE_EXCEEDED, Metadata(), Metadata(), "Deadline Exceeded")
        )

    def end(self, reason: Exception) -> None:
        """End the call with this error, unless it is ending already."""
        if self._reason is None:
            self._reason = reason
            self._task.cancel()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        del traceback  # this frame will be a part of the error's own, see `without_frames`
        self._timer.cancel()
        self._calls.finish(self)
        reason, self._reason = self._reason, None
        # Where somebody else has cancelled the task too, that is what it has to end with. And gRPC
        # may have made the cancellation an error of its own, or come to an end before it.
        if reason is not None and self._task.uncancel() <= self._cancelling and exc is not None:
            raise reason from None


def _channel_closed() -> TransportError:
    return TransportError("the channel was closed during the call", code="UNAVAILABLE")
