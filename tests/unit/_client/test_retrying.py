"""What is sent again, and how much of it a connection affords."""

from __future__ import annotations

import pytest

from blindai_async import RetryPolicy
from blindai_async._client import retrying
from blindai_async._client.retrying import RetryBudget, is_retryable
from blindai_async.errors import TransportError


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 100.0

        def monotonic(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(retrying, "time", clock)
    return clock


def spent(budget):
    count = 0
    while budget.pause(1) is not None:
        count += 1
    return count


def test_a_budget_is_earned_back_by_successes_and_by_time(clock):
    budget = RetryBudget(RetryPolicy(budget=10))
    assert spent(budget) == 10
    for _ in range(20):
        budget.succeeded()
    assert spent(budget) == 2
    clock.now += 2.5
    assert spent(budget) == 5
    clock.now += 1000
    assert spent(budget) == 10


def test_calls_that_ended_with_their_connection_spend_nothing(clock):
    budget = RetryBudget(RetryPolicy(budget=1))
    for _ in range(64):
        assert budget.pause(1, link_was_lost=True) is not None
    assert budget.pause(1) is not None
    assert budget.pause(1) is None
    assert budget.pause(6, link_was_lost=True) is None


def test_attempts_are_bounded_whatever_the_budget(clock):
    budget = RetryBudget(RetryPolicy(attempts=3))
    assert budget.pause(2) is not None
    assert budget.pause(3) is None


@pytest.mark.parametrize(
    ("code", "details", "expected"),
    [
        ("UNAVAILABLE", "", True),
        ("CANCELLED", "", True),
        ("INTERNAL", "Received RST_STREAM with error code 2", True),
        ("INTERNAL", "a bug", False),
        ("UNKNOWN", "RST_STREAM", False),
        ("DEADLINE_EXCEEDED", "", False),
    ],
)
def test_only_a_broken_connection_is_a_reason(code, details, expected):
    assert is_retryable(TransportError("x", code=code, details=details)) is expected
