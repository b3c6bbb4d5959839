"""How many calls a connection has under way at once; the others wait their turn."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from blindai_async._transport.deadline import Deadline

# How many calls go out at first when a server has come back: it is not to be buried under all that
# have waited. Each answer lets one more go out, so that the number doubles with each round.
_FIRST_SLICE = 16


class StreamLimiter:
    """Lends streams in the order in which they were asked for.

    A server refuses a stream beyond its own limit (RFC 9113, section 5.1.2). How many it takes is
    learned from what it refuses, and tried again one by one.

    Args:
        most: streams at once, at most.

    Attributes:
        active: streams that are lent.
        limit: how many may be, at this moment.
    """

    __slots__ = ("_known_good", "_most", "_successes", "_waiting", "active", "limit")

    def __init__(self, most: int) -> None:
        self.active = 0
        self.limit = most
        self._most = most
        self._known_good = most  # up to here the limit grows fast
        self._successes = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    def try_acquire(self) -> bool:
        """Borrow a stream, if one is free and nobody waits for it."""
        if self.active >= self.limit or self._waiting:
            return False
        self.active += 1
        return True

    async def acquire(self, deadline: Deadline) -> None:
        """Borrow a stream, after those who wait already.

        Raises:
            DeadlineExceededError: none has become free in time.
        """
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self._lend()
        try:
            async with asyncio.timeout(deadline.remaining()):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():
                self.release()  # it was this caller's turn just now
            turn.cancel()
            if isinstance(error, TimeoutError):
                deadline.outage = f"all {self.limit} streams of the connection were in use"
                raise deadline.exceeded() from None
            raise

    def release(self) -> None:
        """Give a stream back."""
        self.active -= 1
        if self._waiting:
            self._lend()

    def _lend(self) -> None:
        while self._waiting and self.active < self.limit:
            turn = self._waiting.popleft()
            if not turn.done():
                self.active += 1
                turn.set_result(None)

    def succeeded(self) -> None:
        """Note that the server took a stream."""
        if self.limit == self._most:
            return
        self._successes += 1
        if self.limit < self._known_good or self._successes >= self.limit:
            self._successes = 0
            self.limit += 1

    def refused(self) -> None:
        """Note that the server refused a stream which has not been given back yet."""
        self.limit = self._known_good = max(1, min(self.limit, self.active - 1))
        self._successes = 0

    def begin_slowly(self) -> None:
        """Note that the server has just come back."""
        self.limit = min(self.limit, _FIRST_SLICE)
