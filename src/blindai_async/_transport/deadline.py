"""One deadline over all the steps of an operation."""

from __future__ import annotations

import time

from blindai_async._base_errors import DeadlineExceededError

__all__ = ["Deadline"]

# Three years. gRPC's clock ends in some 290, and what lies beyond, it takes for past.
_LONGEST = 1e8


class Deadline:
    """A point in time by which an operation has to be done.

    Args:
        seconds: from now.
        what: the operation, as the error names it.

    Attributes:
        obstacle: what has stood in the way so far, for the error to name: "" is nothing. Text, as
            an exception would hold the frames that hold this.
    """

    __slots__ = ("_at", "obstacle", "seconds", "what")

    def __init__(self, seconds: float, what: str) -> None:
        self.seconds = seconds
        self.what = what
        self.obstacle = ""
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

    def at_most(self, seconds: float) -> Deadline:
        """A deadline for a part of the operation: `seconds` from now, but no later than this.

        Raises:
            DeadlineExceededError: no time is left.
        """
        return Deadline(min(seconds, self.remaining()), self.what)

    def exceeded(self) -> DeadlineExceededError:
        """The error to raise when time is up."""
        before = f"; an attempt before failed: {self.obstacle}" if self.obstacle else ""
        return DeadlineExceededError(
            f"{self.what}: not done within {self.seconds:g} s{before}", code="DEADLINE_EXCEEDED"
        )
