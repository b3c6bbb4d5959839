"""Ends calls that take too long, with one timer for all of them.

`asyncio.timeout` would put two timers a call on the loop's heap, and nearly every one of them is
taken off again unused. Here a call notes its deadline, and a tick looks at all of them.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

import grpc

from blindai_async.server.status_errors import RefusalError

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["CallDeadline", "CallDeadlines"]

_TICKS_A_DEADLINE = 8
_LONGEST_TICK = 1.0


class CallDeadlines:
    """The deadlines of all calls on one event loop.

    Args:
        shortest: the shortest time, in seconds, that any call is allowed. A deadline is noticed
            an eighth of it late at most, and never more than a second.
    """

    def __init__(self, shortest: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._tick = min(shortest / _TICKS_A_DEADLINE, _LONGEST_TICK)
        self._timer: asyncio.TimerHandle | None = None
        self._open: set[CallDeadline] = set()

    def bounded(self) -> CallDeadline:
        """A context in which the current task makes one call, until its deadline at most."""
        return CallDeadline(self, self._loop)

    def add(self, deadline: CallDeadline) -> None:
        """Called by `CallDeadline`."""
        self._open.add(deadline)
        if self._timer is None:
            self._timer = self._loop.call_later(self._tick, self._end_overdue)

    def discard(self, deadline: CallDeadline) -> None:
        """Called by `CallDeadline`."""
        self._open.discard(deadline)

    def close(self) -> None:
        """End no call any more."""
        self._open.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _end_overdue(self) -> None:
        now = self._loop.time()
        for deadline in [deadline for deadline in self._open if deadline.at < now]:
            self._open.discard(deadline)
            deadline.expire()
        again = bool(self._open)
        self._timer = self._loop.call_later(self._tick, self._end_overdue) if again else None


class CallDeadline:
    """One call's deadline. As a context manager it turns its passing into a refusal."""

    __slots__ = ("_deadlines", "_expired", "_loop", "_reason", "_task", "at")

    def __init__(self, deadlines: CallDeadlines, loop: asyncio.AbstractEventLoop) -> None:
        self._deadlines = deadlines
        self._loop = loop
        self._task: asyncio.Task[object] | None = None
        self._expired = False
        self._reason = ""
        self.at: float = float("inf")

    def allow(self, seconds: float, reason: str) -> None:
        """Set the deadline anew.

        Args:
            seconds: from now.
            reason: what the peer is told when it passes.
        """
        self.at = self._loop.time() + seconds
        self._reason = reason

    def expire(self) -> None:
        """Cancel the call."""
        if self._task is not None:
            self._expired = True
            self._task.cancel()

    def __enter__(self) -> Self:
        self._task = asyncio.current_task()
        self._deadlines.add(self)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        task, self._task = self._task, None
        self._deadlines.discard(self)
        # Whoever else cancelled the call meanwhile (the peer, the server's end) goes first.
        cancelled_by_us = self._expired and task is not None and task.uncancel() == 0
        if cancelled_by_us and exc_type is asyncio.CancelledError:
            raise RefusalError(grpc.StatusCode.DEADLINE_EXCEEDED, self._reason) from None
