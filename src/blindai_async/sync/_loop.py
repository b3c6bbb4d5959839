"""The one event loop of a process that blocking calls run on, in a thread of its own."""

from __future__ import annotations

import atexit
import os
import threading
import weakref
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
from anyio.from_thread import BlockingPortal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


T = TypeVar("T")


class LoopThread:
    """A thread that runs an event loop until `stop`."""

    def __init__(self) -> None:
        self._ready = threading.Event()
        self._portal: BlockingPortal | None = None
        self.open_connections: weakref.WeakSet[Any] = weakref.WeakSet()
        # A daemon: the interpreter joins other threads before it runs what atexit has.
        self._thread = threading.Thread(
            target=anyio.run, args=(self._serve,), name="blindai_async.sync", daemon=True
        )
        self._thread.start()
        self._ready.wait()

    async def _serve(self) -> None:
        async with BlockingPortal() as self._portal:
            self._ready.set()
            await self._portal.sleep_until_stopped()

    def run(self, call: Callable[..., Awaitable[T]], *args: Any, **options: Any) -> T:
        """Run a coroutine function on the loop, and wait for it."""
        if threading.current_thread() is self._thread:
            raise RuntimeError(
                "a callback of a connection cannot make a blocking call: use asyncio"
            )
        if self._portal is None:
            raise RuntimeError("the event loop of blindai_async.sync did not start")
        future = self._portal.start_task_soon(partial(call, *args, **options))
        try:
            return future.result()
        except BaseException:  # KeyboardInterrupt among them: the call ends with its caller
            future.cancel()
            raise

    def stop(self) -> None:
        """Close what is open, and end the thread."""
        for connection in list(self.open_connections):
            connection.close()
        if self._portal is not None:
            self._portal.start_task_soon(self._portal.stop, True).result()
        self._thread.join()


_lock = threading.Lock()
_current: list[LoopThread] = []


def loop_thread() -> LoopThread:
    """Give the process's loop thread, started when first asked for."""
    with _lock:
        if not _current:
            _current.append(LoopThread())
        return _current[0]


def _forget() -> None:
    # Threads do not live on in a forked child, and the lock may have been held by one of them.
    global _lock  # noqa: PLW0603
    _lock = threading.Lock()
    _current.clear()


def _stop() -> None:
    if _current:
        _current.pop().stop()


atexit.register(_stop)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
