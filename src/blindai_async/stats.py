"""Counters and percentiles of a connection, cheap enough to stay on."""

from __future__ import annotations

import math
from collections import Counter

from pydantic import BaseModel, ConfigDict

__all__ = ["ConnectionStats", "Percentiles", "Recorder"]

# Durations are counted in buckets, each a factor 2^(1/8) wide: percentiles are exact to 9 %.
_PER_OCTAVE = 8
_SHORTEST = 1e-6
_BUCKETS = 8 * 30  # from a microsecond to some twenty minutes


class Percentiles(BaseModel):
    """Percentiles of a duration, in seconds, each exact to 9 %; 0 where nothing was measured."""

    model_config = ConfigDict(frozen=True)

    count: int = 0
    p50: float = 0.0
    p90: float = 0.0
    p99: float = 0.0
    max: float = 0.0


class ConnectionStats(BaseModel):
    """What a connection has done so far.

    Attributes:
        calls: predictions that callers asked for.
        rpcs: requests that were sent for them, retries included.
        failures: predictions that ended in an error.
        rows: rows that went through batches.
        batch_sizes: how many batches had how many rows.
        queue_wait: from the call of `predict` to its batch's departure (batched calls only).
        latency: from the call of `predict` to its result.
        bytes_sent: tensor bytes of all requests.
        bytes_received: bytes of all replies.
    """

    model_config = ConfigDict(frozen=True)

    calls: int
    rpcs: int
    failures: int
    rows: int
    batch_sizes: dict[int, int]
    queue_wait: Percentiles
    latency: Percentiles
    bytes_sent: int
    bytes_received: int


class Durations:
    """A histogram of durations."""

    __slots__ = ("_buckets", "_max")

    def __init__(self) -> None:
        self._buckets = [0] * (_BUCKETS + 1)
        self._max = 0.0

    def add(self, seconds: float) -> None:
        """Count one duration."""
        self._max = max(self._max, seconds)
        bucket = int(math.log2(seconds / _SHORTEST) * _PER_OCTAVE) if seconds > _SHORTEST else 0
        self._buckets[min(bucket, _BUCKETS)] += 1

    def percentiles(self) -> Percentiles:
        """Summarise what was counted."""
        count = sum(self._buckets)
        p50, p90, p99 = (self._at(count * share) for share in (0.5, 0.9, 0.99))
        return Percentiles(count=count, p50=p50, p90=p90, p99=p99, max=self._max)

    def _at(self, rank: float) -> float:
        seen = 0
        for bucket, count in enumerate(self._buckets):
            seen += count
            if count and seen >= rank:
                return min(float(_SHORTEST * 2 ** ((bucket + 1) / _PER_OCTAVE)), self._max)
        return 0.0


class Recorder:
    """Counts what a connection does. Used on its event loop only."""

    __slots__ = (
        "batch_sizes",
        "bytes_received",
        "bytes_sent",
        "calls",
        "failures",
        "latency",
        "queue_wait",
        "rows",
        "rpcs",
    )

    def __init__(self) -> None:
        self.calls = self.rpcs = self.failures = self.rows = 0
        self.bytes_sent = self.bytes_received = 0
        self.batch_sizes: Counter[int] = Counter()
        self.queue_wait = Durations()
        self.latency = Durations()

    def snapshot(self) -> ConnectionStats:
        """The counts as they stand."""
        return ConnectionStats(
            calls=self.calls,
            rpcs=self.rpcs,
            failures=self.failures,
            rows=self.rows,
            batch_sizes=dict(sorted(self.batch_sizes.items())),
            queue_wait=self.queue_wait.percentiles(),
            latency=self.latency.percentiles(),
            bytes_sent=self.bytes_sent,
            bytes_received=self.bytes_received,
        )
