"""Ends the wait of callers whose deadline has passed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable

    from blindai_async._batching.queue import PendingRequest

_NEVER = float("inf")


class DeadlineTimer:
    """One timer for all callers: one for each would cost as much as the rest of its wait.

    Args:
        loop: runs the timer.
        pending: tells who waits. It is asked when the timer fires, which is rarely: no list is
            kept of callers who are nearly always answered long before.
    """

    __slots__ = ("_at", "_loop", "_pending", "_timer")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        pending: Callable[[], Iterable[PendingRequest]],
    ) -> None:
        self._loop = loop
        self._pending = pending
        self._timer: asyncio.TimerHandle | None = None
        self._at = _NEVER

    def add(self, deadline: float) -> None:
        """See to a deadline, in the loop's time, of a caller who waits from now on."""
        if deadline < self._at:
            self._set(deadline)

    def stop(self) -> None:
        """End no wait any more."""
        if self._timer is not None:
            self._timer.cancel()

    def _set(self, when: float) -> None:
        self.stop()
        self._at = when
        self._timer = self._loop.call_at(when, self._expire)

    def _expire(self) -> None:
        self._timer, self._at = None, _NEVER
        now, next_deadline = self._loop.time(), _NEVER
        for request in self._pending():
            if request.deadline <= now:
                request.fail(request.expired())
            else:
                next_deadline = min(next_deadline, request.deadline)
        if next_deadline < _NEVER:
            self._set(next_deadline)
