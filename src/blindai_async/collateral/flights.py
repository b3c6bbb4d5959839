"""Runs under way, each for all who want its outcome at that time."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from blindai_async._base_errors import own_instance

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Hashable

__all__ = ["Flights"]

_T = TypeVar("_T")


@dataclass(slots=True)
class _Flight(Generic[_T]):
    task: asyncio.Task[_T]
    waiting: int = 0


class Flights(Generic[_T]):
    """Runs an operation once for each key, however many wait for it, in whatever event loop.

    It runs in a task of its own: a caller that is cancelled does not spoil it for the others. When
    the last one has left, it is cancelled.
    """

    def __init__(self) -> None:
        # A task cannot be awaited in another loop: each loop has flights of its own.
        self._under_way: dict[tuple[asyncio.AbstractEventLoop, Hashable], _Flight[_T]] = {}

    async def join(self, key: Hashable, operation: Callable[[], Coroutine[None, None, _T]]) -> _T:
        """Wait for the outcome of the run under way, or of a new one.

        Raises:
            BaseException: what the operation raised; an instance of its own for each caller, where
                it is the package's.
        """
        loop = asyncio.get_running_loop()
        place = loop, key
        flight = self._under_way.get(place)
        if flight is None:
            flight = self._under_way[place] = _Flight(loop.create_task(operation()))
            flight.task.add_done_callback(_note_outcome)
        flight.waiting += 1
        try:
            await asyncio.wait((flight.task,))
        finally:
            flight.waiting -= 1
            if (flight.task.done() or not flight.waiting) and self._under_way.get(place) is flight:
                del self._under_way[place]
            if not flight.waiting and not flight.task.done():
                flight.task.cancel()
        error = flight.task.exception()
        if error is not None:
            raise own_instance(error)
        return flight.task.result()


def _note_outcome(task: asyncio.Task[Any]) -> None:
    """Look at the error, so that asyncio does not report one that all callers have left behind."""
    if not task.cancelled():
        task.exception()
