"""When evidence is renewed before it expires."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from blindai_async._client import early_renewal
from blindai_async._client.early_renewal import EarlyRenewal

NOW = 1_800_000_000.0


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is moved; the two it stands for go alike."""
    clock = SimpleNamespace(now=NOW)
    both = SimpleNamespace(time=lambda: clock.now, monotonic=lambda: clock.now)
    monkeypatch.setattr(early_renewal, "time", both)
    return clock


def valid_for(window, left):
    until = datetime.fromtimestamp(NOW, UTC) + left
    return until - window, until


def test_without_evidence_there_is_nothing_to_renew(clock):
    assert not EarlyRenewal().is_due()


def test_the_last_hour_is_the_time(clock):
    renewal = EarlyRenewal()
    renewal.note(*valid_for(timedelta(days=30), left=timedelta(hours=1, seconds=1)))
    assert not renewal.is_due()
    clock.now += 1
    assert renewal.is_due()


def test_it_is_not_tried_with_every_call(clock):
    renewal = EarlyRenewal()
    renewal.note(*valid_for(timedelta(days=30), left=timedelta(hours=1)))
    tries = 0
    for _ in range(3600):
        tries += renewal.is_due()
        clock.now += 1
    assert tries == 10


def test_newer_evidence_ends_the_tries(clock):
    renewal = EarlyRenewal()
    renewal.note(*valid_for(timedelta(days=30), left=timedelta(minutes=1)))
    assert renewal.is_due()
    renewal.note(*valid_for(timedelta(days=30), left=timedelta(days=30)))
    clock.now += 3600
    assert not renewal.is_due()
