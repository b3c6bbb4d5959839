"""Opening a connection, again and again where its server is awaited."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from blindai_async._client.recovery import pause_before_try
from blindai_async._transport.deadline import Deadline
from blindai_async.errors import TransportError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

log = logging.getLogger("blindai_async")


async def open_with_patience(
    attempt: Callable[[Deadline], Awaitable[object]], timeout: float, patience: float
) -> None:
    """Try to open until it succeeds.

    Args:
        attempt: tries once.
        timeout: seconds for one try.
        patience: seconds for all of them; 0 tries once.

    Raises:
        TransportError: what the only try met.
        DeadlineExceededError: no try has succeeded within `patience` seconds.
        BlindAIError: what no further try would mend.
    """
    if not patience:
        await attempt(Deadline(timeout, "connect"))
        return
    started, whole, tries = time.monotonic(), Deadline(patience, "connect"), 0
    while True:
        tries += 1
        try:
            await attempt(Deadline(min(timeout, whole.remaining()), "connect"))
        except TransportError as error:
            pause = pause_before_try(time.monotonic() - started)
            whole.outage = f"tried {tries} times: {error}"
            if whole.left() <= pause:
                raise whole.exceeded() from error
            log.debug("connecting failed (%s); next try in %.2f s", error, pause)
        else:
            return
        await asyncio.sleep(pause)
