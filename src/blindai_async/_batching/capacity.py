"""How many calls may wait for a batch, and the callers who wait to be let in."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from blindai_async.errors import DeadlineExceededError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["QueueCapacity"]


class QueueCapacity:
    """The places of a queue; whoever finds none waits at the gate, in order.

    Args:
        places: how many there are.

    Attributes:
        taken: how many calls wait in the queue.
    """

    __slots__ = ("_gates", "_loop", "_places", "taken")

    def __init__(self, places: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._places = places
        self._gates: deque[asyncio.Future[None]] = deque()
        self.taken = 0

    @property
    def full(self) -> bool:
        """Whether the next caller has to wait at the gate."""
        return self.taken >= self._places or bool(self._gates)

    @property
    def deserted(self) -> bool:
        """Whether nobody is in the queue or at its gate."""
        return not self.taken and not self._gates

    async def wait(self, timeout: float) -> None:
        """Wait until there is room for one more call, behind those that wait already.

        Raises:
            DeadlineExceededError: there is none within `timeout` seconds.
            Exception: the one that `close` was given.
        """
        gate: asyncio.Future[None] = self._loop.create_future()
        self._gates.append(gate)
        try:
            async with asyncio.timeout(timeout):
                await gate
        except TimeoutError:
            raise DeadlineExceededError(
                f"predict: no room in the queue within {timeout:g} s", code="DEADLINE_EXCEEDED"
            ) from None
        finally:
            if gate in self._gates:
                self._gates.remove(gate)
            else:
                # Let in, but perhaps not to stay. Once this caller has had its turn, look again.
                self._loop.call_soon(self.vacate, 0)

    def vacate(self, places: int) -> None:
        """Give places back, and let in as many of those who wait."""
        self.taken -= places
        free = self._places - self.taken
        while self._gates and free > 0:
            gate = self._gates.popleft()
            if not gate.done():
                gate.set_result(None)
                free -= 1

    def close(self, error: Callable[[], Exception]) -> None:
        """Turn away whoever waits at the gate, each with an error of its own."""
        for gate in self._gates:
            if not gate.done():
                gate.set_exception(error())
