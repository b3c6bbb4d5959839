"""Waiting in tests for what happens elsewhere, and never for ever."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["until"]


async def until(condition: Callable[[], object], within: float = 10.0) -> None:
    """Wait until a condition holds.

    Raises:
        TimeoutError: it does not in time.
    """
    async with asyncio.timeout(within):
        while not condition():  # noqa: ASYNC110 - the condition is in sockets and other threads
            await asyncio.sleep(0.01)
