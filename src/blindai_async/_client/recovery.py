"""What brings a link back that is down, and what notices that it is.

Neither keeps a connection alive that its owner has dropped: both hold it weakly while they wait.
"""

from __future__ import annotations

import asyncio
import random
import time
import weakref
from typing import TYPE_CHECKING, ClassVar

from grpc import ChannelConnectivity

from blindai_async._client.session_state import SessionState

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from blindai_async._client.session_state import Link

# Between two tries to connect: a tenth of what the outage has lasted, within these seconds.
_MIN_PAUSE = 0.05
_MAX_PAUSE = 2.0

# That a connection which the peer ended in good order may take to be made anew, in seconds.
_RECONNECT_SECONDS = 0.5


def pause_before_try(outage: float) -> float:
    """The seconds before the next try to connect, after an outage of so many."""
    longest = min(_MAX_PAUSE, max(_MIN_PAUSE, outage / 10))
    return longest * random.uniform(0.5, 1)  # noqa: S311 - spreads clients in time, guards nothing


class Recovery:
    """Connects until it succeeds: the one loop that does, whoever waits for it.

    Args:
        link: that is down.
        connect: a bound method that tries once. It returns None when nothing is left to do, and why
            it has failed where another try may succeed.
    """

    def __init__(
        self, link: Link, connect: Callable[[], Coroutine[None, None, str | None]]
    ) -> None:
        self._link = link
        self._connect = weakref.WeakMethod(connect)
        self._started = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[str | None] | None = None

    def begin(self) -> None:
        """Connect from now on."""
        self.stop()
        self._started = time.monotonic()
        self._try()

    def stop(self) -> None:
        """Connect no more."""
        if self._timer is not None:
            self._timer.cancel()
        task, self._task = self._task, None
        if task is not None:
            task.cancel()

    def _try(self) -> None:
        connect = self._connect()
        if connect is not None and self._link.state is SessionState.DOWN:
            self._link.begin_try()
            self._task = asyncio.get_running_loop().create_task(connect())
            self._task.add_done_callback(self._tried)

    def _tried(self, task: asyncio.Task[str | None]) -> None:
        if task is not self._task or task.cancelled():
            return
        self._task = None
        reason = task.result()
        if reason is not None:
            pause = pause_before_try(time.monotonic() - self._started)
            self._link.note_try(reason, pause)
            self._timer = asyncio.get_running_loop().call_later(pause, self._try)


class PeriodicCheck:
    """Calls a method now and then, until its object is gone.

    gRPC can tell at once when a channel's state changes, but a process that is forked while it has
    been asked to may end with SIGSEGV in the child (seen with grpcio 1.80).

    Args:
        method: a bound method that returns the seconds until its next call.
    """

    SLOW: ClassVar = 0.5  # seconds between two looks at a channel that is connected
    FAST: ClassVar = 0.02  # and at one that is not

    def __init__(self, method: Callable[[], float]) -> None:
        self._method = weakref.WeakMethod(method)
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, seconds: float) -> None:
        """Call for the first, or the next, time in so many seconds."""
        self.stop()
        self._timer = asyncio.get_running_loop().call_later(seconds, self._call)

    def stop(self) -> None:
        """Call no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _call(self) -> None:
        method = self._method()
        if method is not None:
            self.begin(method())


class ChannelHealth:
    """Tells a channel that is lost from one that connects anew in good order."""

    def __init__(self) -> None:
        self._broken_at: float | None = None  # when it was first seen not connected

    def mended(self) -> None:
        """Note that the channel is connected."""
        self._broken_at = None

    def is_broken(self, connectivity: ChannelConnectivity) -> bool:
        """Tell whether a channel that is not connected counts as lost."""
        now = time.monotonic()
        if self._broken_at is None:
            self._broken_at = now
        failed = connectivity is ChannelConnectivity.TRANSIENT_FAILURE
        return failed or now - self._broken_at > _RECONNECT_SECONDS
