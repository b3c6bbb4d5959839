"""The calls that a connection has under way: counted, waited for, and ended when it closes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from blindai_async._transport.active_calls import ActiveCalls
from blindai_async.errors import ConnectionClosedError

if TYPE_CHECKING:
    from types import TracebackType


class CallScopes(ActiveCalls):
    """The scopes that are entered now."""

    __slots__ = ("_entered",)

    def __init__(self) -> None:
        super().__init__()
        self._entered: set[CallScope] = set()

    def scope(self) -> CallScope:
        """A scope for one call, to be entered in the task that makes it."""
        return CallScope(self, self._entered)

    def end_all(self) -> None:
        """End every call with `ConnectionClosedError`, whatever it awaits at this moment."""
        for scope in self._entered:
            scope.end()


class CallScope:
    """A context in which a call is under way, and may be ended from outside."""

    __slots__ = ("_calls", "_cancelling", "_ended", "_entered", "_task")

    def __init__(self, calls: ActiveCalls, entered: set[CallScope]) -> None:
        self._calls = calls
        self._entered = entered
        self._ended = False
        self._task: asyncio.Task[object] | None = None
        self._cancelling = 0

    def __enter__(self) -> None:
        """Count the call."""
        self._task = asyncio.current_task()
        self._cancelling = 0 if self._task is None else self._task.cancelling()
        self._entered.add(self)
        self._calls.begin()

    def end(self) -> None:
        """Cancel what the call awaits; the scope turns that into the error of a closed connection.

        A call is ended as `asyncio.timeout` does it: a caller who is cancelled besides stays so.
        """
        if not self._ended and self._task is not None:
            self._ended = True
            self._task.cancel()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._entered.discard(self)
        self._calls.end()
        task, self._task = self._task, None
        if self._ended and task is not None:
            alone = task.uncancel() <= self._cancelling
            if alone and exc_type is asyncio.CancelledError:
                raise ConnectionClosedError("the connection was closed during the call") from None
