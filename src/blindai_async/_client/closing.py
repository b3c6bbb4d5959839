"""Closing, once, for all who ask for it."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

log = logging.getLogger("blindai_async")


class Closing:
    """Drains and then closes, in a task of its own: whoever leaves the wait does not stop it.

    Args:
        drain: waits until no call is under way.
        finish: ends whatever is, and closes.
    """

    def __init__(
        self, drain: Callable[[], Awaitable[None]], finish: Callable[[], Awaitable[None]]
    ) -> None:
        self._drain = drain
        self._finish = finish
        self._until = float("inf")
        self._timeout: asyncio.Timeout | None = None
        self._task: asyncio.Task[None] | None = None

    async def join(self, grace: float) -> None:
        """Wait until it is closed.

        Args:
            grace: seconds from now that calls under way have at most; the shortest that anybody
                has given counts.
        """
        loop = asyncio.get_running_loop()
        self._until = min(self._until, loop.time() + grace)
        if self._task is None:
            self._task = loop.create_task(self._run())
        elif self._timeout is not None and not self._timeout.expired():
            self._timeout.reschedule(self._until)
        await asyncio.wait((self._task,))
        self._task.result()

    async def _run(self) -> None:
        try:
            async with asyncio.timeout_at(self._until) as self._timeout:
                await self._drain()
        except TimeoutError:
            log.debug("closing with calls under way")
        finally:
            self._timeout = None
            await self._finish()
