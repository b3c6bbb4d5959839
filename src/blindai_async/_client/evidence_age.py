"""How long accepted evidence counts: until it expires, or has reached the age that is allowed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from blindai_async._client.early_renewal import EarlyRenewal

if TYPE_CHECKING:
    from datetime import timedelta

    from blindai_async.attestation import Claims


class EvidenceAge:
    """The age of a connection's evidence.

    Args:
        max_age: that the caller allows, in spite of evidence that is still valid.
        fetches: whether newer collateral can be had before the old one expires.

    Attributes:
        early: when and how evidence is renewed while the old one still counts.
    """

    def __init__(self, max_age: timedelta | None, *, fetches: bool) -> None:
        self.early = EarlyRenewal()
        self._max_age = max_age
        self._fetches = fetches
        self._valid_until = float("inf")  # by the clock on the wall
        self._old_at = float("inf")  # by the monotonic one

    def accept(self, claims: Claims) -> None:
        """Take note of evidence that was verified now."""
        self._valid_until = claims.valid_until.timestamp()
        if self._fetches:
            self.early.note(claims.valid_from, claims.valid_until)
        if self._max_age is not None:
            self._old_at = time.monotonic() + self._max_age.total_seconds()

    def is_fresh(self) -> bool:
        """Tell whether the evidence counts at this moment."""
        return time.time() < self._valid_until and time.monotonic() < self._old_at
