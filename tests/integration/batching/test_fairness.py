"""A caller of a quiet model does not wait for those of a busy one."""

import asyncio
import statistics
import time

import numpy as np

from blindai_async import Batching


async def test_five_hundred_callers_of_one_model_do_not_hold_up_anothers(connect, onnx_models):
    conn = await connect(batching=Batching())
    await conn.upload_model(onnx_models.linear(64, 10), model_id="a")
    await conn.upload_model(onnx_models.identity("float32", ("batch", 4)), model_id="b")
    row, other = np.ones((1, 64), np.float32), np.ones((1, 4), np.float32)

    async def latencies(count):
        found = []
        for _ in range(count):
            start = time.perf_counter()
            await conn.predict("b", other, timeout=30)
            found.append(time.perf_counter() - start)
        return found

    await latencies(20)
    idle = statistics.median(await latencies(100))
    stop = asyncio.Event()

    async def caller():
        while not stop.is_set():
            await conn.predict("a", row)

    callers = [asyncio.create_task(caller()) for _ in range(500)]
    await latencies(50)  # while it is found out that `a` can be joined
    busy = statistics.median(await latencies(50))
    stop.set()
    await asyncio.gather(*callers)

    # Client, server and test share a loop here; `benchmarks` measures with a server of its own.
    assert conn.stats.models["a"].state == "joined"
    assert busy < 20 * idle
    assert conn.stats.failures == 0


async def test_queues_are_served_in_turn(connect, requests, onnx_models):
    """The queue that was served last goes to the end, and no other loses its place."""
    conn = await connect(batching=Batching(independence="assume", max_in_flight=1))
    for model in "ab":
        await conn.upload_model(onnx_models.identity(), model_id=model)
        await conn.predict(model, np.zeros((1, 4), np.float32))
    requests.gate = asyncio.Event()
    done = []

    async def call(model, size):
        await conn.predict(model, np.zeros((size, 4), np.float32))
        done.append(model)

    tasks = [asyncio.create_task(call("a", 64)) for _ in range(20)]
    tasks.append(asyncio.create_task(call("b", 1)))
    await asyncio.sleep(0.05)
    requests.gate.set()
    await asyncio.gather(*tasks)

    assert "b" in done[:3]
