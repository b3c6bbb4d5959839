"""Keeps the connection of a silent call in good standing with its peer.

gRPC pings a peer that has been silent for a while, and ends the connection where no answer comes
(see `ChannelLimits`). But a gRPC server takes pings for an attack when it has sent nothing itself:
with its default settings it ends the connection at the fourth. A model that computes for a minute
is silent. So a small request goes beside it now and then, whose answer, whatever it says, lets the
server begin to count anew.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from grpc.aio import AioRpcError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from grpc.aio import Channel, UnaryUnaryMultiCallable

# A standard service, free of side effects. A server that does not have it says so: that will do.
_HEALTH_CHECK = "/grpc.health.v1.Health/Check"


class Heartbeat:
    """Beats while there are calls under way on a channel.

    Args:
        channel: the channel.
        metadata: goes with every call.
        interval: seconds between two beats. Fewer than three pings must fit in between.
    """

    def __init__(
        self, channel: Channel, metadata: Sequence[tuple[str, str]], interval: float
    ) -> None:
        self._check: UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(_HEALTH_CHECK)
        self._metadata = metadata
        self._interval = interval
        self._loop = asyncio.get_running_loop()
        self._busy = False
        self._timer: asyncio.TimerHandle | None = None
        self._beating: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Note that there are calls under way from now on."""
        self._busy = True
        if self._timer is None:
            self._timer = self._loop.call_later(self._interval, self._tick)

    def rest(self) -> None:
        """Note that there are none any more."""
        self._busy = False
        if self._beating is not None:
            self._beating.cancel()

    def stop(self) -> None:
        """Beat no more: the channel is being closed."""
        if self._timer is not None:
            self._timer.cancel()
        self.rest()

    def _tick(self) -> None:
        self._timer = None
        if self._busy:
            self._timer = self._loop.call_later(self._interval, self._tick)
            if self._beating is None:
                self._beating = self._loop.create_task(self._beat())

    async def _beat(self) -> None:
        try:
            # That it fails tells nothing new: whatever ends the connection ends the calls, too.
            # gRPC's own deadline does not end what the transport does not take.
            with suppress(AioRpcError, UsageError, TimeoutError):
                async with asyncio.timeout(self._interval):
                    await self.ask(self._interval)
        finally:
            self._beating = None

    async def ask(self, timeout: float) -> None:
        """Send one such request by itself.

        Raises:
            AioRpcError: the peer said something else than yes, or nothing.
        """
        await self._check(b"", timeout=timeout, metadata=self._metadata)
