"""One deadline over all the steps of an operation."""

from __future__ import annotations

import time

from blindai_async.errors import DeadlineExceededError

__all__ = ["Deadline"]


class Deadline:
    """A point in time by which an operation has to be done.

    Args:
        seconds: from now.
        what: the operation, as the error names it.
    """

    __slots__ = ("_at", "seconds", "what")

    def __init__(self, seconds: float, what: str) -> None:
        self.seconds = seconds
        self.what = what
        self._at = time.monotonic() + seconds

    def remaining(self) -> float:
        """The seconds that are left, more than 0.

        Raises:
            DeadlineExceededError: none are.
        """
        left = self._at - time.monotonic()
        if left <= 0:
            raise self.exceeded()
        return left

    def exceeded(self) -> DeadlineExceededError:
        """The error to raise when time is up."""
        return DeadlineExceededError(
            f"{self.what}: not done within {self.seconds:g} s", code="DEADLINE_EXCEEDED"
        )
