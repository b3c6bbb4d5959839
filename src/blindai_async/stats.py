"""Counters and percentiles of a connection, cheap enough to stay on."""

from __future__ import annotations

import math
from collections import Counter

from pydantic import BaseModel, ConfigDict

__all__ = ["ConnectionStats", "Percentiles", "Recorder"]

# Durations are counted in buckets, eight for each doubling: percentiles are exact to 12 %.
_PER_OCTAVE = 8
_PER_SECOND = 1_000_000  # the first bucket ends at a microsecond …
_BUCKETS = _PER_OCTAVE * 31  # … and the last after half an hour


class Percentiles(BaseModel):
    """Percentiles of a duration, in seconds, each exact to 12 %; 0 where nothing was measured."""

    model_config = ConfigDict(defer_build=True, frozen=True)

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

    model_config = ConfigDict(defer_build=True, frozen=True)

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
        if seconds > self._max:  # noqa: PLR1730 - max() costs a call, in every prediction
            self._max = seconds
        # seconds = mantissa * 2^exponent: two numbers that name the bucket, without a logarithm.
        mantissa, octave = math.frexp(seconds * _PER_SECOND)
        bucket = octave * _PER_OCTAVE + int(mantissa * 2 * _PER_OCTAVE) - _PER_OCTAVE
        self._buckets[0 if bucket < 0 else min(bucket, _BUCKETS)] += 1

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
                if bucket == _BUCKETS:
                    break
                octave, part = divmod(bucket + 1, _PER_OCTAVE)
                return min(
                    math.ldexp(0.5 + part / (2 * _PER_OCTAVE), octave) / _PER_SECOND, self._max
                )
        return self._max


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
