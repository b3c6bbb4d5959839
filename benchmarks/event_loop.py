"""How long large tensors and models keep the event loop from everything else."""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import tempfile
import time
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.connecting import connect, large_file
from benchmarks.measuring import Figure, at_most, interleaved
from benchmarks.opponent import messages, raw_stub
from benchmarks.serving import server
from blindai_async.errors import RequestRejectedError

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from benchmarks.serving import Served

_LARGE = 100_000_000
_MODEL = 500_000_000


async def run(rounds: int = 5) -> list[Figure]:
    """Measure the figures of this file."""
    async with server() as served:
        return [await _under_load(served, rounds), await _large_reply(served, 2 * rounds + 1)]


async def _under_load(served: Served, rounds: int) -> Figure:
    """A ticker beside a predict with 100 MB of input and an upload of 500 MB."""
    large = np.zeros((1, _LARGE // 4), np.float32)
    worst = []
    with tempfile.TemporaryDirectory() as directory:
        path = await asyncio.to_thread(large_file, directory, _MODEL)
        async with connect(served) as conn:

            async def upload() -> None:
                with contextlib.suppress(RequestRejectedError):  # it is no model
                    await conn.upload_model(path)

            for _ in range(rounds):
                both = asyncio.gather(conn.predict("first", large), upload())
                worst.append(1000 * await longest_wait(both))
    value = statistics.median(worst)
    return Figure(
        "longest wait of a 1 ms ticker beside 100 MB of input and a 500 MB upload",
        "-",
        value,
        min(worst),
        max(worst),
        "<= 20 ms",
        value <= 20,
        "ms",
    )


async def _large_reply(served: Served, rounds: int) -> Figure:
    """A reply of 100 MB: what gRPC itself holds the loop for is the floor."""
    array = np.zeros((1, _LARGE // 4), np.float32)
    prebuilt = messages("identity", array, 256 << 10)
    async with connect(served) as conn, raw_stub(served, decode=False) as stub:

        async def ours() -> float:
            return 1000 * await longest_wait(conn.predict("identity", array))

        async def floor() -> float:
            return 1000 * await longest_wait(stub(iter(prebuilt)))

        got = await interleaved({"ours": ours, "floor": floor}, rounds)
    return at_most(
        "longest wait of a 1 ms ticker beside a reply of 100 MB",
        "raw stub without a deserializer",
        got["ours"],
        got["floor"],
        1.2,
        "ms",
    )


async def longest_wait(work: Awaitable[object]) -> float:
    """The longest that a ticker had to wait for the loop while `work` was under way, in seconds."""
    worst = 0.0

    async def tick() -> None:
        nonlocal worst
        while True:
            start = time.perf_counter()
            await asyncio.sleep(0.001)
            worst = max(worst, time.perf_counter() - start - 0.001)

    ticker = asyncio.create_task(tick())
    try:
        await work
        # What holds the loop last of all ends the work as well: the ticker has yet to notice.
        await asyncio.sleep(0.01)
    finally:
        ticker.cancel()
    return worst
