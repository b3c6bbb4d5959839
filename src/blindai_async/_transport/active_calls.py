"""How many calls are under way, and the wait until none is."""

from __future__ import annotations

import asyncio
from contextlib import suppress


class ActiveCalls:
    """Counts calls, and wakes those who wait until none is left.

    Attributes:
        count: how many calls are under way.
    """

    __slots__ = ("_idle", "count")

    def __init__(self) -> None:
        self.count = 0
        self._idle: asyncio.Event | None = None

    def begin(self) -> None:
        """Count a call that begins."""
        self.count += 1

    def end(self) -> None:
        """Count a call that has ended."""
        self.count -= 1
        if not self.count and self._idle is not None:
            self._idle.set()

    async def wait_idle(self, seconds: float | None = None) -> None:
        """Wait until no call is under way; `seconds` at most, where they are given."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.count:
                    self._idle = self._idle or asyncio.Event()
                    self._idle.clear()
                    await self._idle.wait()
