"""The worker threads: results, errors, cancellation, an end."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref

import pytest

from blindai_async.server.inference.worker_pool import WorkerPool


@pytest.fixture
async def pool():
    pool = WorkerPool(2, "test")
    yield pool
    pool.close()


async def test_every_caller_gets_its_own_result_from_another_thread(pool):
    results = await asyncio.gather(
        *(pool.run(lambda n=n: (n, threading.get_ident())) for n in range(2000))
    )
    assert [n for n, _ in results] == list(range(2000))
    assert threading.get_ident() not in {ident for _, ident in results}


async def test_an_error_goes_to_its_caller_only(pool):
    def fail():
        raise ValueError("mine")

    results = await asyncio.gather(pool.run(fail), pool.run(lambda: 7), return_exceptions=True)
    assert str(results[0]) == "mine"
    assert results[1] == 7


async def test_as_many_jobs_run_at_once_as_there_are_threads(pool):
    both = threading.Barrier(2, timeout=60)
    await asyncio.gather(pool.run(both.wait), pool.run(both.wait))


async def test_a_job_cancelled_before_its_turn_is_not_done_and_holds_nothing(pool):
    class Upload:
        pass

    go_on, ran, upload = threading.Event(), [], Upload()
    held = weakref.ref(upload)
    busy = [asyncio.ensure_future(pool.run(go_on.wait)) for _ in range(2)]
    waiting = asyncio.ensure_future(pool.run(lambda upload=upload: ran.append(upload)))
    await asyncio.sleep(0.05)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    del upload, waiting
    await asyncio.sleep(0)  # the loop itself held the cancelled task's traceback until here
    gc.collect()
    assert held() is None  # although both threads are busy and the job is still queued
    go_on.set()
    await asyncio.gather(*busy)
    await pool.run(lambda: None)
    assert ran == []


async def test_the_threads_end_after_what_was_submitted():
    pool = WorkerPool(3, "ending")
    last = asyncio.ensure_future(pool.run(lambda: "done"))
    await asyncio.sleep(0)
    pool.close()
    assert await last == "done"

    def alive():
        return [each for each in threading.enumerate() if each.name.startswith("ending")]

    for _ in range(100):
        if not alive():
            break
        await asyncio.sleep(0.01)
    assert alive() == []


def test_a_result_that_comes_after_the_loop_ended_is_dropped():
    go_on = threading.Event()

    async def main():
        pool = WorkerPool(1, "orphan")
        orphan = asyncio.ensure_future(pool.run(lambda: go_on.wait(60)))
        await asyncio.sleep(0.05)
        orphan.cancel()
        pool.close()
        return pool

    pool = asyncio.run(main())
    go_on.set()
    for thread in pool._threads:
        thread.join(60)
        assert not thread.is_alive()
