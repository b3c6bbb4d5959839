"""Counting durations: cheap to add, and percentiles as exact as they say."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blindai_async._telemetry.recorder import Durations, Recorder


@given(st.lists(st.floats(1e-6, 3000), min_size=1, max_size=200))
def test_percentiles_are_exact_to_nine_percent(durations):
    counted = Durations()
    for duration in durations:
        counted.add(duration)

    found = counted.percentiles()

    assert found.count == len(durations)
    assert found.max == max(durations)
    for share, value in ((50, found.p50), (90, found.p90), (99, found.p99)):
        exact = float(np.percentile(durations, share, method="inverted_cdf"))
        assert exact * 0.999 <= value <= exact * 1.0906


def test_counting_goes_on_over_many_durations():
    counted = Durations()
    for _ in range(10_000):
        counted.add(0.001)
    counted.add(1.0)

    found = counted.percentiles()

    assert (found.count, found.max) == (10_001, 1.0)
    assert found.p99 == pytest.approx(0.001, rel=0.1)


@pytest.mark.parametrize("odd", [0.0, -1.0, 1e9])
def test_durations_out_of_range_are_counted_all_the_same(odd):
    counted = Durations()
    counted.add(odd)

    assert counted.percentiles().count == 1


def test_nothing_measured_is_all_zeros():
    stats = Recorder().snapshot()

    assert stats.latency.model_dump() == {"count": 0, "p50": 0, "p90": 0, "p99": 0, "max": 0}
    assert stats.calls == stats.rpcs == stats.rows == 0
