"""One run for all who wait: outcomes, errors, deadlines, cancellation."""

from __future__ import annotations

import asyncio

import pytest

from blindai_async._client.single_flight import SingleFlight
from blindai_async._transport.deadline import Deadline
from blindai_async.errors import AttestationError, ConnectionClosedError, DeadlineExceededError


class Operation:
    """Ends when it is told to, and counts its runs."""

    def __init__(self):
        self.runs = self.cancelled = 0
        self.outcome = asyncio.Event()
        self.error = None

    async def __call__(self):
        self.runs += 1
        try:
            await self.outcome.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.error is not None:
            raise self.error
        return self.runs


@pytest.fixture
async def operation():
    return Operation()


@pytest.fixture
def flight(operation):
    return SingleFlight(operation)


def join(flight, seconds=5.0):
    return asyncio.ensure_future(flight.join(Deadline(seconds, "join")))


async def test_all_who_wait_get_the_outcome_of_one_run(flight, operation):
    waiting = [join(flight) for _ in range(5)]
    await asyncio.sleep(0)
    assert flight.running
    operation.outcome.set()
    assert await asyncio.gather(*waiting) == [1] * 5
    assert not flight.running
    assert await join(flight) == 2  # who comes later begins another run


async def test_each_gets_an_error_of_its_own(flight, operation):
    operation.error = AttestationError("no")
    operation.outcome.set()
    errors = await asyncio.gather(*(join(flight) for _ in range(5)), return_exceptions=True)
    assert {type(error) for error in errors} == {AttestationError}
    assert len({id(error) for error in errors}) == 5
    assert all(error.__cause__ is operation.error for error in errors)
    assert operation.runs == 1


async def test_who_has_little_time_leaves_the_others_their_run(flight, operation):
    patient = join(flight)
    with pytest.raises(DeadlineExceededError):
        await join(flight, 0.01)
    operation.outcome.set()
    assert await patient == 1


async def test_who_is_cancelled_leaves_the_others_their_run(flight, operation):
    first, second = join(flight), join(flight)
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    operation.outcome.set()
    assert await second == 1
    assert first.cancelled()


async def test_the_run_ends_with_the_last_one(flight, operation):
    waiting = [join(flight) for _ in range(3)]
    await asyncio.sleep(0)
    for each in waiting:
        each.cancel()
    await asyncio.wait(waiting)
    await asyncio.sleep(0)
    assert (operation.runs, operation.cancelled) == (1, 1)
    assert not flight.running
    operation.outcome.set()
    assert await join(flight) == 2


async def test_a_run_begun_while_the_last_one_ends_is_its_own(flight, operation):
    first = join(flight)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    second = join(flight)
    await asyncio.sleep(0)
    operation.outcome.set()
    assert await second == 2
    assert operation.cancelled == 1


async def test_stopping_tells_all_that_the_connection_is_closed(flight, operation):
    waiting = [join(flight) for _ in range(3)]
    await asyncio.sleep(0)
    await flight.stop()
    for error in await asyncio.gather(*waiting, return_exceptions=True):
        assert isinstance(error, ConnectionClosedError)
    await flight.stop()
