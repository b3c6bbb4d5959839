"""The streams of a connection: lent in order, fewer where the server refuses, more again later."""

from __future__ import annotations

import asyncio

import pytest

from blindai_async._client.stream_limiter import StreamLimiter
from blindai_async._transport.deadline import Deadline
from blindai_async.errors import DeadlineExceededError


def soon():
    return Deadline(10, "predict")


async def test_they_are_lent_in_the_order_in_which_they_are_asked_for():
    limiter = StreamLimiter(1)
    assert limiter.try_acquire()
    order = []

    async def ask(number):
        await limiter.acquire(soon())
        order.append(number)
        limiter.release()

    asking = [asyncio.ensure_future(ask(number)) for number in range(5)]
    await asyncio.sleep(0)
    limiter.release()
    assert not limiter.try_acquire()  # it is the turn of those who wait
    await asyncio.gather(*asking)
    assert order == list(range(5))
    assert limiter.active == 0


async def test_who_leaves_gives_the_turn_on_even_at_the_last_moment():
    limiter = StreamLimiter(1)
    limiter.try_acquire()
    first, second = (asyncio.ensure_future(limiter.acquire(soon())) for _ in range(2))
    await asyncio.sleep(0)
    limiter.release()  # the first one's turn, which it does not live to see
    first.cancel()
    await second
    assert limiter.active == 1


async def test_a_wait_ends_at_the_deadline():
    limiter = StreamLimiter(1)
    limiter.try_acquire()
    with pytest.raises(DeadlineExceededError, match="streams"):
        await limiter.acquire(Deadline(0.01, "predict"))
    limiter.release()
    assert limiter.try_acquire()


async def test_what_the_server_takes_is_learned_from_what_it_refuses():
    limiter = StreamLimiter(100)
    for _ in range(100):
        limiter.try_acquire()
    for _ in range(36):
        limiter.refused()
        limiter.release()
    assert limiter.limit == 64
    for _ in range(64):  # one round of answers: one more is tried
        limiter.succeeded()
    assert limiter.limit == 65
    for _ in range(100 * 100):
        limiter.succeeded()
    assert limiter.limit == 100


async def test_at_least_one_is_always_lent():
    limiter = StreamLimiter(2)
    for _ in range(5):
        assert limiter.try_acquire()
        limiter.refused()
        limiter.release()
    assert limiter.limit == 1


async def test_after_an_outage_they_double_with_each_round():
    limiter = StreamLimiter(100)
    limiter.begin_slowly()
    sizes = []
    while limiter.limit < 100:
        sizes.append(limiter.limit)
        for _ in range(limiter.limit):
            limiter.succeeded()
    assert sizes == [16, 32, 64]
