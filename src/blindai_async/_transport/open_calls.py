"""The calls under way on a channel: each ends by its deadline, and all of them with the channel.

gRPC settles a call at its deadline, but what awaits the call may go on waiting: a message that is
being written ends only when the transport takes it, and a peer that reads nothing never does. So
every call is also bounded here, by this side's own clock.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from grpc import StatusCode
from grpc.aio import AioRpcError, Metadata

from blindai_async._base_errors import TransportError
from blindai_async._transport.active_calls import ActiveCalls
from blindai_async._transport.rpc_errors import MappedErrors

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from blindai_async._transport.heartbeat import Heartbeat

# Seconds after the deadline in which gRPC may end the call itself: its status can be the peer's.
GRPC_FIRST = 0.05

# Seconds between two looks at the calls under way. A timer for each call would cost more than all
# else that is done here.
_INTERVAL = 0.05


class OpenCalls:
    """Bounds the calls of one channel. To be made inside the running loop.

    Args:
        heartbeat: is to beat while calls are under way.
        secrets: see `from_rpc_error`.
    """

    def __init__(self, heartbeat: Heartbeat, secrets: Sequence[str] = ()) -> None:
        self._heartbeat = heartbeat
        self._secrets = secrets
        self._loop = asyncio.get_running_loop()
        self._open: set[_OpenCall] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        self._active = ActiveCalls()

    def bounded(self, what: str, timeout: float) -> _OpenCall:
        """A context in which the current task makes one call, for `timeout` seconds at most.

        Inside, the package's errors take the place of gRPC's, see `MappedErrors`.

        Args:
            what: the call, as a person would name it.
            timeout: seconds.

        Raises:
            DeadlineExceededError: where gRPC did not end the call by itself.
            TransportError: the channel was closed meanwhile, or before.
        """
        return _OpenCall(self, what, self._secrets, self._loop.time() + timeout + GRPC_FIRST)

    def begin(self, call: _OpenCall) -> None:
        """Note a call."""
        if self._closed:
            raise _channel_closed()
        if not self._open:
            self._heartbeat.start()
            if self._timer is None:
                self._timer = self._loop.call_later(_INTERVAL, self._end_overdue)
        self._open.add(call)
        self._active.begin()

    def finish(self, call: _OpenCall) -> None:
        """Note that a call has ended."""
        self._open.remove(call)
        self._active.end()
        if not self._open:
            self._heartbeat.rest()

    def _end_overdue(self) -> None:
        self._timer = None
        if not self._open:
            return
        now = self._loop.time()
        for call in [call for call in self._open if call.ends <= now]:
            call.end(
                AioRpcError(
                    StatusCode.DEADLINE_EXCEEDED, Metadata(), Metadata(), "Deadline Exceeded"
                )
            )
        self._timer = self._loop.call_later(_INTERVAL, self._end_overdue)

    def close(self) -> None:
        """End every call under way, and every later one, at once."""
        self._closed = True
        self._heartbeat.stop()
        if self._timer is not None:
            self._timer.cancel()
        for call in tuple(self._open):
            call.end(_channel_closed())

    async def wait_idle(self, seconds: float) -> None:
        """Wait until no call is under way, this long at most."""
        await self._active.wait_idle(seconds)


class _OpenCall(MappedErrors):
    """One call: cancels the task that makes it when its time is up, as `asyncio.timeout` does.

    Attributes:
        ends: when, by the loop's clock.
    """

    __slots__ = ("_calls", "_cancelling", "_reason", "_task", "ends")

    _task: asyncio.Task[object]

    def __init__(self, calls: OpenCalls, what: str, secrets: Sequence[str], ends: float) -> None:
        super().__init__(what, secrets)
        self.ends = ends
        self._calls = calls
        self._reason: Exception | None = None

    def __enter__(self) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a call has to be made in a task")
        self._task = task
        self._cancelling = task.cancelling()
        self._calls.begin(self)

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
        self._calls.finish(self)
        reason, self._reason = self._reason, None
        # Where somebody else has cancelled the task too, that is what it has to end with. And gRPC
        # may have made the cancellation an error of its own, or come to an end before it.
        if reason is not None and self._task.uncancel() <= self._cancelling and exc is not None:
            if not isinstance(reason, AioRpcError):
                raise reason from None
            exc = reason
        if exc is not None:
            super().__exit__(type(exc), exc, None)


def _channel_closed() -> TransportError:
    return TransportError("the channel was closed during the call", code="UNAVAILABLE")
