"""Sessions that were replaced: closed when their calls are done, or their time is up."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from blindai_async._client.session import EnclaveSession


class RetiringSessions:
    """Closes each session in a task of its own."""

    def __init__(self) -> None:
        self._closing: dict[asyncio.Task[None], EnclaveSession] = {}

    def add(self, session: EnclaveSession, grace: float) -> None:
        """Close a session; its calls get `grace` seconds to finish."""
        self._start(session, session.retire(grace))

    def _start(self, session: EnclaveSession, closing: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(closing)
        self._closing[task] = session
        task.add_done_callback(lambda done: self._closing.pop(done, None))

    def cut_short(self) -> None:
        """Close all of them now, whatever grace they were given."""
        for task, session in list(self._closing.items()):
            task.cancel()
            self._start(session, session.close())  # a task that had not begun would not close it

    async def close(self) -> None:
        """Close all of them now, and wait for that."""
        self.cut_short()
        await asyncio.gather(*self._closing, return_exceptions=True)
