"""One deadline over several steps."""

from __future__ import annotations

import time

import pytest

from blindai_async._transport.deadline import Deadline
from blindai_async.errors import DeadlineExceededError


def test_what_is_left_shrinks_and_stays_positive():
    deadline = Deadline(10, "connect")
    first = deadline.remaining()
    time.sleep(0.01)
    assert 9 < deadline.remaining() < first <= 10


@pytest.mark.parametrize("seconds", [0, -1])
def test_a_deadline_in_the_past_has_nothing_left(seconds):
    with pytest.raises(DeadlineExceededError, match=f"connect: not done within {seconds} s"):
        Deadline(seconds, "connect").remaining()


def test_time_that_is_up_raises_the_packages_error():
    deadline = Deadline(0.005, "attest")
    time.sleep(0.01)
    with pytest.raises(DeadlineExceededError) as caught:
        deadline.remaining()
    assert caught.value.code == "DEADLINE_EXCEEDED"
    assert isinstance(caught.value, TimeoutError)
    assert isinstance(caught.value, ConnectionError)


@pytest.mark.parametrize("seconds", [float("inf"), 1e12])
def test_a_deadline_that_is_too_far_away_is_one_that_grpc_can_count_to(seconds):
    left = Deadline(seconds, "connect").remaining()
    assert 365 * 86_400 < left < 100 * 365 * 86_400


def test_time_that_is_up_tells_what_stood_in_the_way():
    deadline = Deadline(0, "predict")
    deadline.obstacle = "predict: UNAVAILABLE: no route to host"
    with pytest.raises(DeadlineExceededError, match=r"within 0 s; .* failed: .*no route to host"):
        deadline.remaining()
