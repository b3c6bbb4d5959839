"""Runs that are shared by all who want the same thing at the same time."""

from __future__ import annotations

import asyncio

import pytest

from blindai_async.collateral.flights import Flights
from blindai_async.errors import CollateralError


class Operation:
    def __init__(self):
        self.runs = self.cancelled = 0
        self.go = asyncio.Event()
        self.error = None

    async def __call__(self):
        self.runs += 1
        try:
            await self.go.wait()
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
def flights():
    return Flights()


async def joined(flights, operation, count, key="k"):
    tasks = [asyncio.ensure_future(flights.join(key, operation)) for _ in range(count)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return tasks


async def test_all_get_the_outcome_of_one_run(flights, operation):
    tasks = await joined(flights, operation, 5)
    operation.go.set()
    assert await asyncio.gather(*tasks) == [1] * 5


async def test_keys_have_runs_of_their_own(flights, operation):
    tasks = await joined(flights, operation, 2, "a") + await joined(flights, operation, 2, "b")
    operation.go.set()
    await asyncio.gather(*tasks)
    assert operation.runs == 2


async def test_whoever_comes_later_begins_another(flights, operation):
    operation.go.set()
    assert [await flights.join("k", operation) for _ in range(3)] == [1, 2, 3]


async def test_one_who_leaves_spoils_nothing(flights, operation):
    tasks = await joined(flights, operation, 3)
    tasks[0].cancel()
    await asyncio.sleep(0)
    operation.go.set()
    assert await asyncio.gather(*tasks[1:]) == [1, 1]
    assert operation.cancelled == 0


async def test_when_the_last_has_left_the_run_ends(flights, operation):
    tasks = await joined(flights, operation, 3)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.sleep(0)
    assert operation.cancelled == 1
    operation.go.set()
    assert await flights.join("k", operation) == 2


async def test_each_gets_an_error_of_its_own(flights, operation):
    tasks = await joined(flights, operation, 3)
    operation.error = CollateralError("no")
    operation.go.set()
    errors = await asyncio.gather(*tasks, return_exceptions=True)
    assert len({id(error) for error in errors}) == 3
    assert {str(error) for error in errors} == {"no"}


def test_loops_have_runs_of_their_own(flights):
    async def once():
        return await flights.join("k", lambda: asyncio.sleep(0, "done"))

    assert [asyncio.run(once()) for _ in range(2)] == ["done", "done"]
    assert not flights._under_way
