"""What proving costs those who are joined, and what a busy model costs a quiet one's caller."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.connecting import connect
from benchmarks.measuring import Figure, at_least, at_most, calls_per_second, interleaved
from benchmarks.serving import server
from blindai_async import Batching

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from blindai_async import AsyncConnection

_BUSY_CALLERS = 500


async def run(rounds: int = 9) -> list[Figure]:
    """Measure the figures of this file."""
    async with (
        server() as served,
        connect(served, batching=Batching()) as probing,
        connect(served, batching=Batching(independence="assume")) as assuming,
    ):
        return [
            await _after_probing(probing, assuming, rounds),
            await _beside_a_busy_model(probing, rounds),
        ]


async def _after_probing(
    probing: AsyncConnection, assuming: AsyncConnection, rounds: int
) -> Figure:
    """Rows a second, audits included, once the first round has proven the kind."""
    row = np.random.default_rng(0).random((1, 64), dtype=np.float32)

    def rate(conn: AsyncConnection) -> Callable[[], Awaitable[float]]:
        return lambda: calls_per_second(lambda _: conn.predict("linear", row), 256, 100)

    got = await interleaved({"probed": rate(probing), "assumed": rate(assuming)}, rounds)
    assert probing.stats.models["linear"].state == "joined"
    return at_least(
        "predict, 256 callers, joined after a probe, audits included",
        "joined unproven",
        got["probed"],
        got["assumed"],
        0.98,
        "rows/s",
    )


async def _beside_a_busy_model(conn: AsyncConnection, rounds: int) -> Figure:
    """The latency of a lone caller, with and without many callers of another model."""
    row = np.random.default_rng(0).random((1, 64), dtype=np.float32)

    async def latency(calls: int = 100) -> float:
        start = time.perf_counter()
        for _ in range(calls):
            await conn.predict("identity", row)
        return 1e3 * (time.perf_counter() - start) / calls

    async def beside_others() -> float:
        async def caller() -> None:
            while True:
                await conn.predict("linear", row)

        others = [asyncio.create_task(caller()) for _ in range(_BUSY_CALLERS)]
        await latency(20)
        try:
            return await latency()
        finally:
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

    got = await interleaved({"idle": latency, "busy": beside_others}, rounds)
    return at_most(
        f"a lone caller's latency beside {_BUSY_CALLERS} callers of another model",
        "the same on an idle connection",
        got["busy"],
        got["idle"],
        3.0,
        "ms",
    )
