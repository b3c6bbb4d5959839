"""Concurrent predictions are joined, and every caller gets exactly its own rows."""

import asyncio

import numpy as np
import pytest

from blindai_async import Batching


async def uploaded(conn, model, model_id="m"):
    await conn.upload_model(model, model_id=model_id)
    return model_id


async def test_concurrent_calls_share_few_requests_and_keep_their_rows(
    connect, requests, onnx_models, rows
):
    conn = await connect(batching=Batching(independence="assume"))
    await uploaded(conn, onnx_models.identity())
    await conn.predict("m", rows(1)[0])  # shows what an answer looks like
    requests.rows.clear()
    inputs = rows(200)

    results = await asyncio.gather(*(conn.predict("m", row) for row in inputs))

    assert sorted(requests.rows) == [8, 64, 64, 64]
    for row, result in zip(inputs, results, strict=True):
        (tensor,) = result.output
        assert tensor.shape == (1, 4)
        assert tensor.as_numpy().tobytes() == row.tobytes()
        assert tensor.info.index_name == "y"


async def test_callers_may_have_several_rows_and_several_inputs(connect, onnx_models):
    conn = await connect(batching=Batching(independence="assume", max_batch_size=16))
    await uploaded(conn, onnx_models.subtract_and_swap())
    generator = np.random.default_rng(0)
    calls = [
        [generator.random((count, 4), np.float32), generator.random((count, 4), np.float32)]
        for count in (1, 3, 2, 16, 5, 1, 7, 4)
    ]

    for _ in range(2):
        results = await asyncio.gather(*(conn.predict("m", call) for call in calls))
        for (a, b), result in zip(calls, results, strict=True):
            difference, second = (tensor.as_numpy() for tensor in result.output)
            assert np.array_equal(difference, a - b)
            assert np.array_equal(second, b)
    assert max(conn.stats.batch_sizes) <= 16


async def test_calls_of_other_models_dtypes_or_shapes_are_not_joined(
    connect, requests, onnx_models, rows
):
    conn = await connect(batching=Batching(independence="assume"))
    await uploaded(conn, onnx_models.identity(), "a")
    await uploaded(conn, onnx_models.identity("int64", ("batch", "n")), "b")
    kinds = [
        ("a", np.ones((1, 4), np.float32)),
        ("b", np.ones((1, 4), np.int64)),
        ("b", np.ones((1, 5), np.int64)),
    ]
    for model, array in kinds:
        await conn.predict(model, array)
    requests.rows.clear()

    results = await asyncio.gather(*(conn.predict(m, a) for m, a in kinds * 3))

    assert requests.rows == [3, 3, 3]
    for (_, array), result in zip(kinds * 3, results, strict=True):
        assert np.array_equal(result.output[0].as_numpy(), array)


async def test_a_lone_call_is_sent_at_once_and_alone(connect, requests, onnx_models, rows):
    conn = await connect(batching=Batching(independence="assume"))
    await uploaded(conn, onnx_models.identity())

    for row in rows(3):
        await conn.predict("m", row)

    assert requests.rows == [1, 1, 1]


async def test_callers_gather_while_all_batches_are_out(connect, requests, onnx_models, rows):
    conn = await connect(batching=Batching(independence="assume", max_in_flight=1))
    await uploaded(conn, onnx_models.identity())
    await conn.predict("m", rows(1)[0])
    requests.rows.clear()
    requests.gate = asyncio.Event()

    first = asyncio.create_task(conn.predict("m", rows(1)[0]))
    await asyncio.sleep(0.05)
    later = [asyncio.create_task(conn.predict("m", row)) for row in rows(10)]
    await asyncio.sleep(0.05)
    assert requests.rows == [1]
    requests.gate.set()
    await asyncio.gather(first, *later)

    assert requests.rows == [1, 10]


async def test_a_batch_waits_for_company_only_as_long_as_it_is_told(
    connect, requests, onnx_models, rows
):
    conn = await connect(batching=Batching(independence="assume", max_delay=0.15, max_batch_size=3))
    await uploaded(conn, onnx_models.identity())
    await conn.predict("m", rows(1)[0])
    requests.rows.clear()
    loop = asyncio.get_running_loop()

    start = loop.time()
    early = asyncio.create_task(conn.predict("m", rows(1)[0]))
    await asyncio.sleep(0.05)
    late = asyncio.create_task(conn.predict("m", rows(1)[0]))
    await asyncio.gather(early, late)
    waited = loop.time() - start
    start = loop.time()
    await asyncio.gather(*(conn.predict("m", row) for row in rows(3)))
    full = loop.time() - start

    assert requests.rows == [2, 3]
    assert waited >= 0.14
    assert full < 0.14


async def test_signed_calls_are_never_joined(connect, requests, onnx_models, rows):
    conn = await connect(batching=Batching(independence="assume"))
    await uploaded(conn, onnx_models.identity())
    await conn.predict("m", rows(1)[0])
    requests.rows.clear()

    results = await asyncio.gather(*(conn.predict("m", row, sign=True) for row in rows(5)))

    assert requests.rows == [1] * 5
    for row, result in zip(rows(5), results, strict=True):
        result.validate(
            "m", row, allow_simulation_mode=True, enclave_signing_key=conn.enclave_signing_key
        )


async def test_a_call_can_opt_out(connect, requests, onnx_models, rows):
    conn = await connect(batching=Batching(independence="assume"))
    await uploaded(conn, onnx_models.identity())
    await conn.predict("m", rows(1)[0])
    requests.rows.clear()

    await asyncio.gather(*(conn.predict("m", row, batch=False) for row in rows(5)))

    assert requests.rows == [1] * 5


@pytest.mark.parametrize(
    "inputs",
    [np.float32(3), np.zeros((0, 4), np.float32), np.zeros((70, 4), np.float32)],
    ids=["0-d", "rowless", "larger than a batch"],
)
async def test_what_cannot_be_joined_goes_alone(connect, requests, onnx_models, inputs):
    conn = await connect(batching=Batching(independence="assume"))
    await uploaded(conn, onnx_models.identity("float32", None))

    results = await asyncio.gather(*(conn.predict("m", inputs) for _ in range(3)))

    assert len(requests.rows) == 3
    assert all(r.output[0].as_numpy().tobytes() == inputs.tobytes() for r in results)


async def test_batches_are_bounded_in_bytes(connect, requests, onnx_models):
    conn = await connect(batching=Batching(independence="assume", max_batch_bytes=4000))
    await uploaded(conn, onnx_models.identity("float32", ("batch", "n")))
    row = np.ones((1, 250), np.float32)  # 1000 bytes
    await conn.predict("m", row)
    requests.rows.clear()

    await asyncio.gather(*(conn.predict("m", row) for _ in range(10)))

    assert sorted(requests.rows) == [2, 4, 4]


async def test_batching_is_off_unless_asked_for(connect, requests, onnx_models, rows):
    conn = await connect()
    await uploaded(conn, onnx_models.identity())

    await asyncio.gather(*(conn.predict("m", row) for row in rows(5)))

    assert requests.rows == [1] * 5


async def test_stats_tell_what_was_done(connect, onnx_models, rows):
    conn = await connect(batching=Batching(independence="assume"))
    await uploaded(conn, onnx_models.identity())
    await conn.predict("m", rows(1)[0])

    await asyncio.gather(*(conn.predict("m", row) for row in rows(64)))
    stats = conn.stats

    assert (stats.calls, stats.rpcs, stats.rows, stats.failures) == (65, 2, 65, 0)
    assert stats.batch_sizes == {1: 1, 64: 1}
    assert stats.bytes_sent == 65 * 16
    assert stats.bytes_received > stats.bytes_sent
    assert stats.latency.count == stats.queue_wait.count == 65
    assert 0 < stats.latency.p50 <= stats.latency.p99 <= stats.latency.max < 60
