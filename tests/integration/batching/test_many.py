"""predict_many: any number of inputs, in order or as they come, with flat memory."""

import asyncio

import numpy as np
import pytest

from blindai_async import Batching
from blindai_async.errors import ConnectionClosedError, RequestRejectedError, TensorError


def calls_under_way():
    return [task for task in asyncio.all_tasks() if "AsyncConnection.predict" in repr(task)]


@pytest.fixture
async def conn(connect, onnx_models):
    conn = await connect(batching=Batching(independence="assume"))
    await conn.upload_model(onnx_models.identity("float32", ("batch", 4)), model_id="m")
    return conn


async def test_results_come_in_the_inputs_order(conn, rows):
    inputs = rows(300)

    results = [r.output[0].as_numpy() async for r in conn.predict_many("m", iter(inputs))]

    assert np.array_equal(np.array(results), inputs)
    assert conn.stats.rpcs < 30


async def test_unordered_results_are_all_there(conn, rows):
    found = set()
    async for result in conn.predict_many("m", rows(100), ordered=False, concurrency=7):
        found.add(result.output[0].as_flat()[0])

    assert found == {float(row[0, 0]) for row in rows(100)}


async def test_an_async_iterable_is_read_only_as_fast_as_results_are_taken(conn, rows):
    read = 0

    async def source():
        nonlocal read
        for row in rows(50):
            read += 1
            yield row

    taken = 0
    async for _ in conn.predict_many("m", source(), concurrency=5):
        taken += 1
        assert read <= taken + 5
        await asyncio.sleep(0)
    assert taken == 50


@pytest.mark.parametrize("ordered", [True, False])
async def test_the_first_error_cancels_the_rest(conn, rows, ordered):
    inputs = [*rows(5), np.zeros((1, 3), np.float32), *rows(100)]
    with pytest.raises(RequestRejectedError):
        async for _ in conn.predict_many("m", inputs, concurrency=8, ordered=ordered):
            pass

    assert not calls_under_way()


async def test_errors_can_be_taken_in_their_place(conn, rows):
    inputs = [rows(1)[0], "text", rows(1)[0]]

    results = [r async for r in conn.predict_many("m", inputs, return_exceptions=True)]

    assert isinstance(results[1], TensorError)
    assert results[0].output == results[2].output


async def test_leaving_the_loop_early_leaves_nothing_behind(conn, rows):
    results = conn.predict_many("m", rows(1000), concurrency=16)

    async for _ in results:
        assert calls_under_way()
        break
    await results.aclose()

    assert not calls_under_way()


async def test_the_sources_own_error_ends_the_iteration(conn, rows):
    def source():
        yield rows(1)[0]
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        async for _ in conn.predict_many("m", source()):
            pass


async def test_closing_meanwhile_is_told(conn, rows):
    results = conn.predict_many("m", rows(1000), concurrency=16)
    await anext(results)
    await conn.close()

    async def take_what_has_come() -> None:
        async for _ in results:
            pass

    with pytest.raises(ConnectionClosedError):
        await take_what_has_come()


async def test_nonsense_is_refused_at_once(conn, rows):
    with pytest.raises(ValueError, match="concurrency is 0"):
        conn.predict_many("m", rows(1), concurrency=0)


async def test_an_empty_source_gives_nothing(conn):
    assert [r async for r in conn.predict_many("m", [])] == []
