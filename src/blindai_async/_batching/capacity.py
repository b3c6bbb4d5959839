"""How many calls may wait for a batch, and the callers who wait to be let in."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from blindai_async._base_errors import deadline_exceeded

if TYPE_CHECKING:
    from collections.abc import Callable


class QueueCapacity:
    """The places of a queue; whoever finds none waits outside, in order.

    Args:
        places: how many there are.

    Attributes:
        taken: how many calls wait in the queue.
    """

    __slots__ = ("_loop", "_outside", "_places", "taken")

    def __init__(self, places: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._places = places
        self._outside: deque[asyncio.Future[None]] = deque()
        self.taken = 0

    @property
    def full(self) -> bool:
        """Whether the next caller has to wait outside."""
        return self.taken >= self._places or bool(self._outside)

    @property
    def empty(self) -> bool:
        """Whether nobody waits in the queue or outside."""
        return not self.taken and not self._outside

    @property
    def obstacle(self) -> str:
        """What keeps callers waiting outside, for an error to name: "" where nothing does."""
        return f"the queue is full (Batching.max_queue is {self._places})" if self.full else ""

    async def wait(self, timeout: float) -> None:
        """Wait for a place for one more call, behind those that wait already.

        Raises:
            DeadlineExceededError: there is none within `timeout` seconds.
            Exception: the one that `close` was given.
        """
        admission: asyncio.Future[None] = self._loop.create_future()
        self._outside.append(admission)
        try:
            async with asyncio.timeout(timeout):
                await admission
        except TimeoutError:
            raise deadline_exceeded("predict", timeout, self.obstacle) from None
        finally:
            if admission in self._outside:
                self._outside.remove(admission)
            else:
                # Let in, but perhaps not to stay. Once this caller has had its turn, look again.
                self._loop.call_soon(self.release, 0)

    def release(self, places: int) -> None:
        """Give places back, and let in as many of those who wait outside."""
        self.taken -= places
        free = self._places - self.taken
        while self._outside and free > 0:
            admission = self._outside.popleft()
            if not admission.done():
                admission.set_result(None)
                free -= 1

    def close(self, error: Callable[[], Exception]) -> None:
        """Turn away whoever waits outside, each with an error of its own."""
        for admission in self._outside:
            if not admission.done():
                admission.set_exception(error())
