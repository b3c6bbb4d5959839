"""Ends the wait of callers whose deadline has passed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable

    from blindai_async._batching.queue import PendingRequest

__all__ = ["DeadlineTimer"]


class DeadlineTimer:
    """One timer for all callers: one for each would cost as much as the rest of its wait."""

    __slots__ = ("_loop", "_requests", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._requests: set[PendingRequest] = set()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, request: PendingRequest) -> None:
        """End the wait of a request at its deadline."""
        self._requests.add(request)
        if self._timer is None or request.deadline < self._timer.when():
            self._set(request.deadline)

    def discard(self, request: PendingRequest) -> None:
        """Let a request go. The timer stays: it finds nobody, or the next one."""
        self._requests.discard(request)

    def discard_all(self, requests: Iterable[PendingRequest]) -> None:
        """Let the requests of a batch go."""
        self._requests.difference_update(requests)

    def stop(self) -> None:
        """End no wait any more."""
        if self._timer is not None:
            self._timer.cancel()

    def _set(self, when: float) -> None:
        self.stop()
        self._timer = self._loop.call_at(when, self._expire)

    def _expire(self) -> None:
        self._timer = None
        now = self._loop.time()
        for request in self._requests:
            if request.deadline <= now:
                request.fail(request.expired())
        coming = [request.deadline for request in self._requests if request.deadline > now]
        if coming:
            self._set(min(coming))
