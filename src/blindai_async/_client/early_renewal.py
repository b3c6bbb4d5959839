"""When a connection that fetches collateral itself attests anew, while the old evidence counts."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from blindai_async.collateral.renewal import renewal_time

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["EarlyRenewal"]

# Seconds between two tries, and how many there are at most before the evidence expires.
_MIN_INTERVAL = 0.5
_TRIES = 10


class EarlyRenewal:
    """Tells when it is time; a service that has nothing newer yet is not asked with every call."""

    def __init__(self) -> None:
        self._from = self._until = float("inf")  # by the clock on the wall
        self._tried_at = float("-inf")

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
