"""Sessions that were replaced: closed when their calls are done, or their time is up."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from blindai_async._client.session import EnclaveSession

__all__ = ["RetiringSessions"]


class RetiringSessions:
    """Closes each session in a task of its own."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def add(self, session: EnclaveSession, grace: float) -> None:
        """Close a session; its calls get `grace` seconds to finish."""
        task = asyncio.get_running_loop().create_task(session.retire(grace))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def cut_short(self) -> None:
        """Close all of them now, whatever grace they were given."""
        for task in self._tasks:
            task.cancel()

    async def close(self) -> None:
        """Close all of them now, and wait for that."""
        self.cut_short()
        await asyncio.gather(*self._tasks, return_exceptions=True)
