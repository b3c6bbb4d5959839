"""When a newer one is asked for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from blindai_async.collateral.renewal import renewal_time

START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("window", "margin"),
    [
        (timedelta(days=30), timedelta(hours=1)),
        (timedelta(hours=10), timedelta(hours=1)),
        (timedelta(minutes=10), timedelta(minutes=1)),
        (timedelta(0), timedelta(0)),
    ],
)
def test_an_hour_before_the_end_or_a_tenth(window, margin):
    assert renewal_time(START, START + window) == START + window - margin
