"""Callers that cancel, time out or are closed upon, and a queue that is full."""

import asyncio
import threading

import numpy as np
import pytest

from blindai_async import Batching
from blindai_async.errors import ConnectionClosedError, DeadlineExceededError


@pytest.fixture
async def held(connect, requests, onnx_models, rows):
    """A connection whose one batch is held back: what is called now waits in the queue."""
    conn = await connect(batching=Batching(independence="assume", max_in_flight=1, max_queue=8))
    await conn.upload_model(onnx_models.identity(), model_id="m")
    await conn.predict("m", rows(1)[0])
    requests.rows.clear()
    requests.gate = asyncio.Event()
    first = asyncio.create_task(conn.predict("m", rows(1)[0]))
    await asyncio.sleep(0.05)
    yield conn
    requests.gate.set()
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)


async def started(*calls):
    tasks = [asyncio.ensure_future(call) for call in calls]
    await asyncio.sleep(0.02)
    return tasks


async def test_rows_of_a_cancelled_caller_are_withdrawn(held, requests, rows):
    inputs = rows(5)
    tasks = await started(*(held.predict("m", row) for row in inputs))

    tasks[1].cancel()
    tasks[3].cancel()
    requests.gate.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)

    assert requests.rows == [1, 3]
    assert [isinstance(r, asyncio.CancelledError) for r in results] == [0, 1, 0, 1, 0]
    for i in (0, 2, 4):
        assert results[i].output[0].as_numpy().tobytes() == inputs[i].tobytes()


async def test_cancelling_one_of_a_batch_under_way_disturbs_nobody(held, requests, rows):
    held_back, requests.gate = requests.gate, asyncio.Event()
    tasks = await started(*(held.predict("m", row) for row in rows(3)))
    held_back.set()
    await asyncio.sleep(0.1)
    assert requests.rows == [1, 3]

    tasks[0].cancel()
    await asyncio.sleep(0.02)
    requests.gate.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)

    assert isinstance(results[0], asyncio.CancelledError)
    assert [r.output[0].as_numpy().tobytes() for r in results[1:]] == [
        row.tobytes() for row in rows(3)[1:]
    ]


async def test_the_last_callers_cancellation_cancels_the_request(
    connect, requests, onnx_models, rows, server
):
    conn = await connect(batching=Batching(independence="assume"))
    await conn.upload_model(onnx_models.identity(), model_id="m")
    await conn.predict("m", rows(1)[0])
    requests.gate = asyncio.Event()
    tasks = await started(*(conn.predict("m", row) for row in rows(3)))
    before = asyncio.all_tasks()

    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.sleep(0.05)

    carriers = [t for t in before if "BatchDispatcher._carry" in repr(t)]
    assert carriers
    assert all(t.cancelled() for t in carriers)
    assert not [t for t in asyncio.all_tasks() if "BatchDispatcher._carry" in repr(t)]


async def test_each_caller_has_its_own_deadline(held, requests, rows):
    short, long = await started(
        held.predict("m", rows(1)[0], timeout=0.1), held.predict("m", rows(2)[1], timeout=30)
    )

    with pytest.raises(DeadlineExceededError, match=r"within 0\.1 s"):
        await short
    requests.gate.set()

    assert (await long).output[0].as_numpy().tobytes() == rows(2)[1].tobytes()
    assert requests.rows == [1, 1]


async def test_a_later_short_deadline_is_kept_beside_an_earlier_long_one(held, rows):
    long = asyncio.create_task(held.predict("m", rows(1)[0], timeout=30))
    await asyncio.sleep(0.02)

    with pytest.raises(DeadlineExceededError):
        await asyncio.wait_for(held.predict("m", rows(1)[0], timeout=0.05), 1)
    with pytest.raises(DeadlineExceededError):
        await asyncio.wait_for(held.predict("m", rows(1)[0], timeout=0.05), 1)
    long.cancel()


async def test_closing_fails_every_caller_with_the_closed_error(held, requests, rows):
    tasks = await started(*(held.predict("m", row) for row in rows(12)))  # more than the queue has

    await held.close()
    results = await asyncio.gather(*tasks, return_exceptions=True)

    assert {type(r) for r in results} == {ConnectionClosedError}
    assert len({id(r) for r in results}) == 12


@pytest.mark.parametrize("max_delay", [0.0, 0.01], ids=["alone", "queued"])
async def test_closing_while_inputs_are_still_converted_fails_their_caller(connect, max_delay):
    conn = await connect(batching=Batching(independence="assume", max_delay=max_delay))
    reached, go_on = threading.Event(), threading.Event()

    class Slow:
        """An input whose conversion lasts until the test lets it go on."""

        def __array__(self, dtype=None, copy=None):
            reached.set()
            assert go_on.wait(60)
            return np.zeros((1, 4), np.float32)

    large = np.zeros((1 << 20, 4), np.float32)[::-1]  # has to be copied: in a thread
    call = asyncio.ensure_future(conn.predict("m", [large, Slow()], timeout=60))
    try:
        assert await asyncio.to_thread(reached.wait, 60)
        await conn.close()
    finally:
        go_on.set()
    with pytest.raises(ConnectionClosedError):
        await asyncio.wait_for(call, 60)


@pytest.mark.parametrize("leaving", [0, 1], ids=["first", "second"])
async def test_of_two_that_come_at_once_either_may_be_cancelled(
    connect, requests, onnx_models, rows, leaving
):
    conn = await connect(batching=Batching(independence="assume"))
    await conn.upload_model(onnx_models.identity(), model_id="m")
    for _ in range(2):
        tasks = [asyncio.ensure_future(conn.predict("m", row)) for row in rows(2)]
        await asyncio.sleep(0)  # both look whether they are the only one
        tasks[leaving].cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(results[leaving], asyncio.CancelledError)
        assert results[1 - leaving].output[0].as_numpy().tobytes() == (
            rows(2)[1 - leaving].tobytes()
        )
    assert requests.rows == [1, 1]


async def test_closing_with_grace_lets_the_queue_finish(held, requests, rows):
    inputs = rows(5)
    tasks = await started(*(held.predict("m", row) for row in inputs))

    closing = asyncio.create_task(held.close(grace=10))
    await asyncio.sleep(0.02)
    with pytest.raises(ConnectionClosedError):
        await held.predict("m", inputs[0])
    requests.gate.set()
    results = await asyncio.gather(*tasks)
    await asyncio.wait_for(closing, 5)

    assert [r.output[0].as_numpy().tobytes() for r in results] == [r.tobytes() for r in inputs]


async def test_a_full_queue_makes_callers_wait_in_order(held, requests, rows):
    inputs = rows(20)
    tasks = await started(*(held.predict("m", row) for row in inputs))
    assert requests.rows == [1]

    requests.gate.set()
    results = await asyncio.gather(*tasks)

    assert [r.output[0].as_numpy().tobytes() for r in results] == [r.tobytes() for r in inputs]
    assert max(requests.rows) <= 8


async def test_waiting_for_room_ends_with_the_deadline_or_a_cancellation(held, requests, rows):
    inside = await started(*(held.predict("m", row) for row in rows(8)))

    with pytest.raises(
        DeadlineExceededError, match=r"within 0\.05 s; the queue is full .*max_queue is 8"
    ):
        await held.predict("m", rows(1)[0], timeout=0.05)
    (waiting,) = await started(held.predict("m", rows(1)[0]))
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting

    inside[0].cancel()  # makes room for one
    late = asyncio.create_task(held.predict("m", rows(9)[8]))
    await asyncio.sleep(0.02)
    requests.gate.set()
    assert (await late).output[0].as_numpy().tobytes() == rows(9)[8].tobytes()
    await asyncio.gather(*inside, return_exceptions=True)
