"""Every call ends: by its deadline, with its channel, or as whoever cancelled it said."""

from __future__ import annotations

import asyncio

import pytest

from blindai_async._transport.open_calls import OpenCalls
from blindai_async.errors import DeadlineExceededError, TransportError


class Heart:
    def __init__(self):
        self.said = []

    def start(self):
        self.said.append("start")

    def rest(self):
        self.said.append("rest")

    def stop(self):
        self.said.append("stop")


@pytest.fixture
async def calls():
    return OpenCalls(Heart())


async def endless(calls, timeout=60.0, reached=None):
    with calls.bounded("predict", timeout):
        if reached is not None:
            reached.set()
        await asyncio.Event().wait()  # as for what the transport does not take


async def test_what_never_ends_is_ended_after_its_deadline(calls):
    with pytest.raises(DeadlineExceededError, match="predict: DEADLINE_EXCEEDED"):
        await endless(calls, 0.05)
    assert asyncio.current_task().cancelling() == 0
    await calls.wait_idle(0)
    assert calls._heartbeat.said == ["start", "rest"]


async def test_one_expires_and_its_neighbours_do_not(calls):
    neighbour = asyncio.ensure_future(endless(calls))
    with pytest.raises(DeadlineExceededError):
        await endless(calls, 0.0)
    assert not neighbour.done()
    neighbour.cancel()
    with pytest.raises(asyncio.CancelledError):
        await neighbour


async def test_closing_ends_every_call_and_refuses_later_ones(calls):
    reached = asyncio.Event()
    under_way = [asyncio.ensure_future(endless(calls, reached=reached)) for _ in range(3)]
    await reached.wait()
    await asyncio.sleep(0)
    calls.close()
    for error in await asyncio.gather(*under_way, return_exceptions=True):
        assert isinstance(error, TransportError)
        assert error.code == "UNAVAILABLE"
    with pytest.raises(TransportError, match="closed"):
        await endless(calls)


async def test_who_cancels_the_caller_too_has_the_last_word(calls):
    reached = asyncio.Event()
    call = asyncio.ensure_future(endless(calls, reached=reached))
    await reached.wait()
    calls.close()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call


async def test_no_timer_runs_where_no_call_does(calls):
    with calls.bounded("predict", 60):
        pass
    async with asyncio.timeout(30):
        while calls._timer is not None:  # noqa: ASYNC110 - it ends by itself
            await asyncio.sleep(0.01)
