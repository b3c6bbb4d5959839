"""A row that is kept does not hold the batch that it came with."""

import asyncio
import gc
import tracemalloc

import numpy as np

from blindai_async import Batching


async def test_kept_rows_hold_little_more_than_themselves(connect, onnx_models):
    conn = await connect(batching=Batching(independence="assume"))
    await conn.upload_model(onnx_models.linear(4, 25_000), model_id="wide")  # 100 KB a row
    row = np.ones((1, 4), np.float32)
    await conn.predict("wide", row)

    kept = []
    tracemalloc.start()
    try:
        for _ in range(10):
            results = await asyncio.gather(*(conn.predict("wide", row) for _ in range(64)))
            kept.append(results[7].output[0])
            del results
        gc.collect()
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert max(conn.stats.batch_sizes) == 64
    reply = 64 * 100_000  # the server, which shares this process, may hold its last one
    assert held < 4 * sum(len(tensor.bytes_data) for tensor in kept) + 2 * reply
