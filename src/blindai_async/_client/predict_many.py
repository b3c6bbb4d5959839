"""Any number of predictions, so many at once, each result as soon as it is due."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Generator
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeAlias

from blindai_async._base_errors import own_instance

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterable

    from blindai_async.proofs.responses import PredictResponse

    Call: TypeAlias = Callable[[Any], Coroutine[Any, Any, PredictResponse]]
    Outcome: TypeAlias = PredictResponse | BaseException

# Calls that are started, or cancelled, before the event loop has its turn: each takes it some tens
# of microseconds.
_SLICE = 32

_NOTE = "predict_many: input"


async def predict_many(
    call: Call,
    inputs: Iterable[Any] | AsyncIterable[Any],
    concurrency: int,
    *,
    ordered: bool,
    return_exceptions: bool,
    keyed: bool = False,
) -> AsyncIterator[Outcome | tuple[int, Outcome]]:
    """See `AsyncConnection.predict_many`.

    An input is read when there is room for its call, so that memory holds no more than
    `concurrency` inputs and results, however long the iterable is.
    """
    window = _Window(concurrency, ordered)
    feeder = asyncio.get_running_loop().create_task(_feed(window, call, inputs))
    try:
        while (due := await window.next()) is not None:
            index, task = due
            outcome = _outcome(index, task)
            if isinstance(outcome, BaseException) and not return_exceptions:
                raise outcome
            yield (index, outcome) if keyed else outcome
        if window.failure is not None:
            raise window.failure
    finally:
        feeder.cancel()
        await window.cancel(feeder)


async def _feed(window: _Window, call: Call, inputs: Iterable[Any] | AsyncIterable[Any]) -> None:
    """Start a call for each input; close the source when it ends, or when it is left."""
    try:
        source = aiter(inputs) if isinstance(inputs, AsyncIterable) else _each(inputs)
        try:
            # The source is iterated and closed in one task: it may hold what has to be left by the
            # task that entered it.
            await window.wait_for_room()
            async for tensors in source:
                window.start(call(tensors))
                if window.started % _SLICE == 0:
                    await asyncio.sleep(0)
                await window.wait_for_room()
        finally:
            if isinstance(source, AsyncGenerator):
                await source.aclose()
    except BaseException as error:  # noqa: BLE001 - the inputs' own; `predict_many` raises it
        error.add_note(f"predict_many: raised by its inputs, after {window.started} of them")
        window.end(error)
    else:
        window.end(None)


async def _each(inputs: Iterable[Any]) -> AsyncGenerator[Any, None]:
    source = iter(inputs)
    try:
        for tensors in source:
            yield tensors
    finally:
        if isinstance(source, Generator):
            source.close()


class _Window:
    """The calls under way, and those that are done and wait to be taken.

    Attributes:
        started: how many calls were started.
        failure: what the inputs raised, to be raised after all that was under way.
    """

    def __init__(self, size: int, ordered: bool) -> None:
        self.started = 0
        self.failure: BaseException | None = None
        self._size = size
        self._ordered = ordered
        self._exhausted = False
        self._tasks: dict[asyncio.Task[PredictResponse], int] = {}  # with their inputs' index
        self._done: deque[asyncio.Task[PredictResponse]] = deque()  # where the order is theirs
        self._due = _Signal()
        self._room = _Signal()

    async def wait_for_room(self) -> None:
        while len(self._tasks) >= self._size:
            await self._room.wait()

    def start(self, call: Coroutine[Any, Any, PredictResponse]) -> None:
        task = asyncio.get_running_loop().create_task(call)
        self._tasks[task] = self.started
        self.started += 1
        task.add_done_callback(self._arrived)

    def end(self, failure: BaseException | None) -> None:
        """Note that there are no more inputs."""
        self._exhausted = True
        self.failure = failure
        self._due.set()

    def _arrived(self, task: asyncio.Task[PredictResponse]) -> None:
        if not self._ordered:
            self._done.append(task)
        self._due.set()

    async def next(self) -> tuple[int, asyncio.Task[PredictResponse]] | None:
        """The next call whose result is due, done, and its index; None after the last."""
        while True:
            task = self._next_done()
            if task is not None:
                self._room.set()
                index = self._tasks.pop(task)
                if index % _SLICE == 0:  # a loop over results that are all there does not wait
                    await asyncio.sleep(0)
                return index, task
            if self._exhausted and not self._tasks:
                return None
            await self._due.wait()

    def _next_done(self) -> asyncio.Task[PredictResponse] | None:
        if self._ordered:
            first = next(iter(self._tasks), None)
            return first if first is not None and first.done() else None
        return self._done.popleft() if self._done else None

    async def cancel(self, feeder: asyncio.Task[None]) -> None:
        """Cancel every call, and wait until all of them and the feeder have ended."""
        left = iter([feeder, *self._tasks])
        try:
            while some := tuple(islice(left, _SLICE)):
                for task in some:
                    task.cancel()
                await asyncio.wait(some)
        finally:
            for task in left:  # whoever waits for them was cancelled himself
                task.cancel()
        for task in (feeder, *self._tasks):
            if not task.cancelled():
                task.exception()  # looked at, so that asyncio says nothing of it


class _Signal:
    """Wakes the one task that waits for it. Unlike an event it need not be cleared."""

    __slots__ = ("_waiter",)

    def __init__(self) -> None:
        self._waiter: asyncio.Future[None] | None = None

    async def wait(self) -> None:
        """Wait for the next `set`."""
        self._waiter = asyncio.get_running_loop().create_future()
        await self._waiter

    def set(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def _outcome(index: int, task: asyncio.Task[PredictResponse]) -> Outcome:
    """What a call has ended with. A failure says which input's it is, in `index` and in a note."""
    try:
        error = task.exception()
    except asyncio.CancelledError as cancelled:
        error = cancelled
    if error is None:
        return task.result()
    if hasattr(error, "index"):  # one error that several calls have ended with
        error = own_instance(error)
    notes = [note for note in getattr(error, "__notes__", ()) if not note.startswith(_NOTE)]
    error.__notes__ = [*notes, f"{_NOTE} {index}"]
    with suppress(AttributeError):  # a class without room for it
        error.index = index  # type: ignore[attr-defined]  # of predict_many alone
    return error
