"""One deadline over all the steps of an operation."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from blindai_async._base_errors import DeadlineExceededError, deadline_exceeded

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

# Three years. gRPC's clock ends in some 290, and what lies beyond, it takes for past.
_LONGEST = 1e8


class Deadline:
    """A point in time by which an operation has to be done.

    Args:
        seconds: from now.
        what: the operation, as the error names it.

    Attributes:
        obstacle: why an earlier attempt failed, for the error to name: "" where none did. Text, as
            an exception would hold the frames that hold this.
        outage: what keeps the operation waiting now, for the error to name: "" is nothing.
    """

    __slots__ = ("_at", "obstacle", "outage", "seconds", "what")

    def __init__(self, seconds: float, what: str) -> None:
        self.seconds = seconds
        self.what = what
        self.obstacle = ""
        self.outage = ""
        self._at = time.monotonic() + min(seconds, _LONGEST)

    def remaining(self) -> float:
        """The seconds that are left, more than 0.

        Raises:
            DeadlineExceededError: none are.
        """
        left = self.left()
        if left <= 0:
            raise self.exceeded()
        return left

    def left(self) -> float:
        """The seconds that are left, less than 0 where none are."""
        return self._at - time.monotonic()

    @asynccontextmanager
    async def timeout(self) -> AsyncIterator[None]:
        """A context that is left when the time is up.

        Raises:
            DeadlineExceededError: it was.
        """
        try:
            async with asyncio.timeout(self.remaining()):
                yield
        except TimeoutError as error:
            if isinstance(error, DeadlineExceededError):
                raise
            raise self.exceeded() from None

    def at_most(self, seconds: float) -> Deadline:
        """A deadline for a part of the operation: `seconds` from now, but no later than this.

        Raises:
            DeadlineExceededError: no time is left.
        """
        return Deadline(min(seconds, self.remaining()), self.what)

    def exceeded(self) -> DeadlineExceededError:
        """The error to raise when time is up."""
        before = f"an attempt before failed: {self.obstacle}" if self.obstacle else ""
        return deadline_exceeded(self.what, self.seconds, self.outage, before)
