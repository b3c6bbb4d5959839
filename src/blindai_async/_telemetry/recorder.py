"""Counters of a connection, cheap enough to stay on."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from blindai_async._telemetry.stats import ConnectionStats, Percentiles

if TYPE_CHECKING:
    from collections.abc import Callable

    from blindai_async._telemetry.stats import ModelBatching

# Durations are counted in buckets, eight for each doubling: percentiles are exact to 9 %.
_PER_OCTAVE = 8
_OCTAVES = 32
_PER_SECOND = 1_000_000  # the first octave begins at a microsecond, the last ends after an hour
_FOLD_AT = 4096


class Durations:
    """A histogram of durations.

    They are put aside as they come, and sorted into their buckets thousands at a time: in every
    prediction there is hardly time for more than an append.
    """

    __slots__ = ("_aside", "_buckets", "_max")

    def __init__(self) -> None:
        self._aside: list[float] = []
        self._buckets = np.zeros(_OCTAVES * _PER_OCTAVE, np.int64)
        self._max = 0.0

    def add(self, seconds: float) -> None:
        """Count one duration."""
        self._aside.append(seconds)
        if len(self._aside) >= _FOLD_AT:
            self._fold()

    def add_all(self, seconds: list[float]) -> None:
        """Count several durations."""
        self._aside += seconds
        if len(self._aside) >= _FOLD_AT:
            self._fold()

    def _fold(self) -> None:
        if not self._aside:
            return
        durations = np.array(self._aside)
        self._aside.clear()
        self._max = max(self._max, float(durations.max()))
        octaves = np.log2(np.maximum(durations * _PER_SECOND, 1.0))
        buckets = np.minimum(octaves * _PER_OCTAVE, len(self._buckets) - 1).astype(np.int64)
        self._buckets += np.bincount(buckets, minlength=len(self._buckets))

    def percentiles(self) -> Percentiles:
        """Summarise what was counted."""
        self._fold()
        seen = np.cumsum(self._buckets)
        count = int(seen[-1])
        if not count:
            return Percentiles()
        # The upper edge of the bucket in which the rank falls.
        edges = np.searchsorted(seen, np.array([0.5, 0.9, 0.99]) * count) + 1
        p50, p90, p99 = np.minimum(2 ** (edges / _PER_OCTAVE) / _PER_SECOND, self._max).tolist()
        return Percentiles(count=count, p50=p50, p90=p90, p99=p99, max=self._max)


class Recorder:
    """Counts what a connection does. Used on its event loop only."""

    __slots__ = (
        "batch_sizes",
        "bytes_received",
        "bytes_sent",
        "calls",
        "describe_models",
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
        # Set by the batcher, where there is one: what it knows is asked for, not counted.
        self.describe_models: Callable[[], dict[str, ModelBatching]] = dict

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
            models=self.describe_models(),
        )
