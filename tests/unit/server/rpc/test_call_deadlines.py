"""Deadlines that one timer looks after."""

from __future__ import annotations

import asyncio

import pytest

from blindai_async.server.rpc.call_deadlines import CallDeadlines
from blindai_async.server.status_errors import RefusalError


@pytest.fixture
async def deadlines():
    deadlines = CallDeadlines(0.08)
    yield deadlines
    deadlines.close()


async def test_a_call_beyond_its_deadline_is_refused_with_its_reason(deadlines):
    async def call():
        with deadlines.bounded() as deadline:
            deadline.allow(10, "first")
            deadline.allow(0.05, "too slow")
            await asyncio.sleep(5)

    with pytest.raises(RefusalError) as caught:
        await call()
    assert caught.value.details == "too slow"
    assert caught.value.code.name == "DEADLINE_EXCEEDED"
    assert asyncio.current_task().cancelling() == 0
    await asyncio.sleep(0)  # the cancellation is spent


class Clock:
    """A loop's clock that a test moves on."""

    def __init__(self, loop):
        self.now = 0.0
        self.call_later = loop.call_later

    def time(self):
        return self.now


async def test_a_call_that_goes_on_is_left_alone(deadlines):
    deadlines._loop = clock = Clock(asyncio.get_running_loop())

    def pass_seconds(seconds):
        clock.now += seconds
        deadlines._timer.cancel()
        deadlines._end_overdue()

    async def call():
        with deadlines.bounded() as deadline:
            for _ in range(6):
                deadline.allow(1, "too slow")
                pass_seconds(0.9)
                await asyncio.sleep(0)  # where a cancellation would arrive
            went_on.append(True)
            pass_seconds(0.2)
            await asyncio.sleep(0)

    went_on = []
    with pytest.raises(RefusalError):  # once it does not
        await call()
    assert went_on


async def test_one_call_expires_and_its_neighbours_do_not(deadlines):
    async def call(seconds):
        with deadlines.bounded() as deadline:
            deadline.allow(seconds, "too slow")
            await asyncio.sleep(0.2)
        return seconds

    results = await asyncio.gather(call(0.05), call(5), return_exceptions=True)
    assert isinstance(results[0], RefusalError)
    assert results[1] == 5


async def test_a_cancelled_call_is_cancelled_and_not_refused(deadlines):
    async def call():
        with deadlines.bounded() as deadline:
            deadline.allow(5, "too slow")
            await asyncio.sleep(5)

    task = asyncio.ensure_future(call())
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_call_cancelled_by_others_too_is_cancelled(deadlines):
    async def call():
        with deadlines.bounded() as deadline:
            deadline.allow(0.01, "too slow")
            deadline.expire()
            asyncio.current_task().cancel()
            await asyncio.sleep(5)

    with pytest.raises(asyncio.CancelledError):
        await asyncio.ensure_future(call())


async def test_no_timer_runs_where_no_call_does(deadlines):
    with deadlines.bounded() as deadline:
        deadline.allow(5, "too slow")
    await asyncio.sleep(0.05)
    assert deadlines._timer is None
