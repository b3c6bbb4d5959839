"""Any number of predictions, so many at once, their results one after the other."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterable

    from blindai_async.proofs.responses import PredictResponse

__all__ = ["predict_many"]


async def predict_many(
    call: Callable[[Any], Coroutine[Any, Any, PredictResponse]],
    inputs: Iterable[Any] | AsyncIterable[Any],
    concurrency: int,
    ordered: bool,
    return_exceptions: bool,
) -> AsyncIterator[PredictResponse | BaseException]:
    """See `AsyncConnection.predict_many`.

    An input is read when there is room for its call, so that memory holds no more than
    `concurrency` inputs and results, however long the iterable is.
    """
    window = _Window(ordered)
    source = aiter(inputs) if isinstance(inputs, AsyncIterable) else _each(inputs)
    try:
        async for tensors in source:
            window.start(call(tensors))
            if window.count == concurrency:
                yield _outcome(await window.next(), return_exceptions)
        while window.count:
            yield _outcome(await window.next(), return_exceptions)
    finally:
        await window.cancel()


class _Window:
    """The calls under way, and those that are done and wait to be taken."""

    def __init__(self, ordered: bool) -> None:
        self._ordered = ordered
        self._tasks: dict[asyncio.Task[PredictResponse], None] = {}
        self._done: deque[asyncio.Task[PredictResponse]] = deque()
        self._arrival: asyncio.Future[None] | None = None

    @property
    def count(self) -> int:
        return len(self._tasks)

    def start(self, call: Coroutine[Any, Any, PredictResponse]) -> None:
        task = asyncio.get_running_loop().create_task(call)
        self._tasks[task] = None
        if not self._ordered:
            task.add_done_callback(self._arrived)

    def _arrived(self, task: asyncio.Task[PredictResponse]) -> None:
        self._done.append(task)
        if self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)

    async def next(self) -> asyncio.Task[PredictResponse]:
        """The next call whose result is due; done, unless they are taken in order."""
        if self._ordered:
            task = next(iter(self._tasks))
        else:
            while not self._done:
                self._arrival = asyncio.get_running_loop().create_future()
                await self._arrival
            task = self._done.popleft()
        if not task.done():  # a batch answers many at once: most need not be waited for
            await asyncio.wait((task,))
        del self._tasks[task]
        return task

    async def cancel(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _outcome(
    task: asyncio.Task[PredictResponse], return_exceptions: bool
) -> PredictResponse | BaseException:
    error = task.exception()
    if error is None:
        return task.result()
    if return_exceptions:
        return error
    raise error


async def _each(inputs: Iterable[Any]) -> AsyncIterator[Any]:
    for tensors in inputs:
        yield tensors
