"""When a connection that fetches collateral itself attests anew, while the old evidence counts."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from blindai_async._client.identity_change import CallbackError
from blindai_async._transport.deadline import Deadline
from blindai_async.collateral.renewal import renewal_time
from blindai_async.errors import BlindAIError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

log = logging.getLogger("blindai_async")

# Seconds between two tries, and how many there are at most before the evidence expires.
_MIN_INTERVAL = 0.5
_TRIES = 10


class EarlyRenewal:
    """Tells when it is time; a service that has nothing newer yet is not asked with every call."""

    def __init__(self) -> None:
        self._from = self._until = float("inf")  # by the clock on the wall
        self._tried_at = float("-inf")
        self._task: asyncio.Task[None] | None = None  # asyncio itself keeps no task alive

    def note(self, valid_from: datetime, valid_until: datetime) -> None:
        """Take note of how long accepted evidence is valid, by collateral that was fetched."""
        self._from = renewal_time(valid_from, valid_until).timestamp()
        self._until = valid_until.timestamp()

    def is_due(self) -> bool:
        """Tell whether to attest anew now; the next answer is no, until it is time to try again."""
        if time.time() < self._from:
            return False
        now = time.monotonic()
        if now - self._tried_at < max(_MIN_INTERVAL, (self._until - self._from) / _TRIES):
            return False
        self._tried_at = now
        return True

    def begin(self, attest: Callable[[Deadline], Awaitable[object]], seconds: float) -> None:
        """Attest anew in a task of its own, for no longer than `seconds`.

        The old evidence still counts: what fails is tried again later, and reaches no caller.
        """

        async def renew() -> None:
            try:
                await attest(Deadline(seconds, "attest"))
            except (BlindAIError, CallbackError, OSError, ValueError) as error:
                log.info("no newer evidence yet: %s", error)

        self._task = asyncio.get_running_loop().create_task(renew())

    def stop(self) -> None:
        """End what `begin` has begun."""
        if self._task is not None:
            self._task.cancel()
