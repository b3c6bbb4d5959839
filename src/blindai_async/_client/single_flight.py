"""One run of an operation at a time, for all who want its outcome at that time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Generic, TypeVar

from blindai_async._base_errors import own_instance
from blindai_async.errors import (
    ConnectionClosedError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from blindai_async._transport.deadline import Deadline

_T = TypeVar("_T")


class SingleFlight(Generic[_T]):
    """Runs an operation once, however many wait for it.

    It runs in a task of its own: a caller that is cancelled, or has little time, does not spoil it
    for the others. When the last one has left, it is cancelled.

    Args:
        operation: is run anew when somebody joins and it is not running.
    """

    def __init__(self, operation: Callable[[], Coroutine[None, None, _T]]) -> None:
        self._operation = operation
        self._task: asyncio.Task[_T] | None = None
        self._waiting = 0

    @property
    def running(self) -> bool:
        """Whether there is a run to join."""
        return self._task is not None and not self._task.done()

    async def join(self, deadline: Deadline) -> _T:
        """Wait for the outcome of the run under way, or of a new one.

        Raises:
            DeadlineExceededError: the caller has no time left; the run goes on for the others.
            ConnectionClosedError: the run was ended by `stop`.
            BaseException: what the operation raised; an instance of its own for each caller, where
                it is the package's.
        """
        task = self._task
        if task is None or task.done():
            task = self._task = asyncio.get_running_loop().create_task(self._operation())
            task.add_done_callback(_note_outcome)
            self._waiting = 0
        self._waiting += 1
        try:
            await asyncio.wait((task,), timeout=deadline.remaining())
        finally:
            # Others may have begun another run meanwhile, if this one was cancelled.
            if task is self._task:
                self._waiting -= 1
                if not self._waiting and not task.done():
                    self._leave_off()
        if not task.done():
            raise deadline.exceeded()
        if task.cancelled():
            raise ConnectionClosedError("the connection was closed during the call")
        error = task.exception()
        if error is not None:
            raise own_instance(error)
        return task.result()

    async def stop(self) -> None:
        """Cancel the run under way, and wait for its end."""
        task = self._leave_off()
        if task is not None:
            await asyncio.wait((task,))

    def _leave_off(self) -> asyncio.Task[_T] | None:
        """Cancel the run under way; whoever joins from now on begins another."""
        task, self._task = self._task, None
        if task is None or task.done():
            return None
        task.cancel()
        return task


def _note_outcome(task: asyncio.Task[_T]) -> None:
    """Look at the error, so that asyncio does not report one that all callers have left behind."""
    if not task.cancelled():
        task.exception()
