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

__all__ = ["Watch", "Watchdog"]

_TICKS_A_DEADLINE = 8
_LONGEST_TICK = 1.0


class Watchdog:
    """Watches the calls of one event loop.

    Args:
        shortest: the shortest time, in seconds, that any call is allowed. A deadline is noticed
            an eighth of it late at most, and never more than a second.
    """

    def __init__(self, shortest: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._tick = min(shortest / _TICKS_A_DEADLINE, _LONGEST_TICK)
        self._timer: asyncio.TimerHandle | None = None
        self._watched: set[Watch] = set()

    def watch(self) -> Watch:
        """Watch the current task while the result is entered as a context manager."""
        return Watch(self, self._loop)

    def add(self, watch: Watch) -> None:
        """Called by `Watch`."""
        self._watched.add(watch)
        if self._timer is None:
            self._timer = self._loop.call_later(self._tick, self._look)

    def discard(self, watch: Watch) -> None:
        """Called by `Watch`."""
        self._watched.discard(watch)

    def close(self) -> None:
        """Watch no more."""
        self._watched.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        now = self._loop.time()
        for watch in [watch for watch in self._watched if watch.deadline < now]:
            self._watched.discard(watch)
            watch.expire()
        again = bool(self._watched)
        self._timer = self._loop.call_later(self._tick, self._look) if again else None


class Watch:
    """One call's deadline. As a context manager it turns its passing into a refusal."""

    __slots__ = ("_dog", "_expired", "_loop", "_reason", "_task", "deadline")

    def __init__(self, dog: Watchdog, loop: asyncio.AbstractEventLoop) -> None:
        self._dog = dog
        self._loop = loop
        self._task: asyncio.Task[object] | None = None
        self._expired = False
        self._reason = ""
        self.deadline: float = float("inf")

    def allow(self, seconds: float, reason: str) -> None:
        """Set the deadline anew.

        Args:
            seconds: from now.
            reason: what the peer is told when it passes.
        """
        self.deadline = self._loop.time() + seconds
        self._reason = reason

    def expire(self) -> None:
        """Cancel the call."""
        if self._task is not None:
            self._expired = True
            self._task.cancel()

    def __enter__(self) -> Self:
        self._task = asyncio.current_task()
        self._dog.add(self)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        task, self._task = self._task, None
        self._dog.discard(self)
        # Whoever else cancelled the call meanwhile (the peer, the server's end) goes first.
        cancelled_by_us = self._expired and task is not None and task.uncancel() == 0
        if cancelled_by_us and exc_type is asyncio.CancelledError:
            raise RefusalError(grpc.StatusCode.DEADLINE_EXCEEDED, self._reason) from None
