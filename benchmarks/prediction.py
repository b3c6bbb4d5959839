"""Predictions a second, and the latency of a single one, against the raw stub."""

from __future__ import annotations

import statistics
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.connecting import connect
from benchmarks.measuring import Figure, at_least, at_most, calls_per_second, interleaved
from benchmarks.opponent import messages, raw_stub, unary_stub
from benchmarks.serving import server
from blindai_async import Batching

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import grpc

    from benchmarks.serving import Served
    from blindai_async import AsyncConnection

_CHUNK_SIZES = [32 << 10, 64 << 10, 128 << 10, 256 << 10, 512 << 10, 1 << 20]


async def run(rounds: int = 9) -> list[Figure]:
    """Measure the figures of this file."""
    async with (
        server() as served,
        raw_stub(served) as stub,
        unary_stub(served) as unary,
        connect(served) as plain,
        connect(served, batching=Batching()) as batching,
    ):
        return [
            *await _small(stub, unary, plain, batching, rounds),
            *await _lone(unary, plain, batching, rounds),
            *await _image(served, stub, plain, rounds),
        ]


async def _small(
    stub: grpc.aio.StreamUnaryMultiCallable,
    unary: grpc.aio.UnaryUnaryMultiCallable,
    plain: AsyncConnection,
    batching: AsyncConnection,
    rounds: int,
) -> list[Figure]:
    row = np.random.default_rng(0).random((1, 64), dtype=np.float32)
    prebuilt = messages("linear", row, 256 << 10)

    def raw(callers: int, calls: int) -> Callable[[], Awaitable[float]]:
        return lambda: calls_per_second(lambda _: stub(iter(prebuilt)), callers, calls)

    def ours(conn: AsyncConnection, callers: int, calls: int) -> Callable[[], Awaitable[float]]:
        return lambda: calls_per_second(lambda _: conn.predict("linear", row), callers, calls)

    got = await interleaved(
        {
            "raw 64": raw(64, 20),
            "unary 64": lambda: calls_per_second(lambda _: unary(prebuilt[0]), 64, 20),
            "plain 64": ours(plain, 64, 20),
            "raw 256": raw(256, 5),
            "batching 256": ours(batching, 256, 100),
        },
        rounds,
    )
    return [
        at_least(
            "predict, 1x64 float32, 64 callers",
            "raw stub, messages built beforehand",
            got["plain 64"],
            got["raw 64"],
            0.90,
            "calls/s",
        ),
        at_least(
            "predict, 1x64 float32, 64 callers",
            "raw unary stub, messages built beforehand",
            got["plain 64"],
            got["unary 64"],
            0.95,
            "calls/s",
        ),
        at_least(
            "predict, 1x64 float32, 256 callers, batching",
            "raw stub, one RPC a row",
            got["batching 256"],
            got["raw 256"],
            25,
            "rows/s",
        ),
    ]


async def _lone(
    unary: grpc.aio.UnaryUnaryMultiCallable,
    plain: AsyncConnection,
    batching: AsyncConnection,
    rounds: int,
) -> list[Figure]:
    """One call at a time, in turns: what is compared is less than a machine's mood swings."""
    row = np.random.default_rng(0).random((1, 64), dtype=np.float32)
    (prebuilt,) = messages("linear", row, 256 << 10)
    contestants: dict[str, Callable[[], Awaitable[object]]] = {
        "unary": lambda: unary(prebuilt),
        "plain": lambda: plain.predict("linear", row),
        "batching": lambda: batching.predict("linear", row),
    }
    medians: dict[str, list[float]] = {name: [] for name in contestants}
    for counted in range(rounds + 1):
        latencies: dict[str, list[float]] = {name: [] for name in contestants}
        names = list(contestants)
        for number in range(200):
            for name in names if number % 2 else reversed(names):
                start = time.perf_counter()
                await contestants[name]()
                latencies[name].append(1e6 * (time.perf_counter() - start))
        if counted:
            for name, each in latencies.items():
                medians[name].append(statistics.median(each))
    return [
        at_most(
            "latency of a lone call",
            "raw unary stub, message built beforehand",
            medians["plain"],
            medians["unary"],
            1.08,
            "us",
        ),
        at_most(
            "latency of a lone call, batching on",
            "batching off",
            medians["batching"],
            medians["plain"],
            1.05,
            "us",
        ),
    ]


async def _image(
    served: Served, stub: grpc.aio.StreamUnaryMultiCallable, plain: AsyncConnection, rounds: int
) -> list[Figure]:
    image = np.random.default_rng(0).random((1, 480, 480, 3), dtype=np.float32)

    def raw(chunk_size: int) -> Callable[[], Awaitable[float]]:
        prebuilt = messages("image", image, chunk_size)
        return lambda: calls_per_second(lambda _: stub(iter(prebuilt)), 4, 5)

    def ours(conn: AsyncConnection) -> Callable[[], Awaitable[float]]:
        return lambda: calls_per_second(lambda _: conn.predict("image", image), 4, 5)

    async with AsyncExitStack() as opened:
        contestants = {"default": ours(plain)}
        for size in _CHUNK_SIZES:
            conn = await opened.enter_async_context(connect(served, chunk_size=size))
            contestants[f"ours {size}"] = ours(conn)
            contestants[f"raw {size}"] = raw(size)
        got = await interleaved(contestants, rounds)
    best = max(_CHUNK_SIZES, key=lambda size: statistics.median(got[f"ours {size}"]))
    against_itself = at_least(
        "the default chunk size, 2.8 MB images",
        f"the best one here ({best >> 10} KiB)",
        got["default"],
        got[f"ours {best}"],
        0.80,
        "calls/s",
    )
    each = ", ".join(
        f"{size >> 10}: {statistics.median(got[f'ours {size}']):.3g}" for size in _CHUNK_SIZES
    )
    # The stub's best size is known now. The runs that chose it would flatter it.
    best = max(_CHUNK_SIZES, key=lambda size: statistics.median(got[f"raw {size}"]))
    got = await interleaved({"ours": ours(plain), "raw": raw(best)}, 2 * rounds + 1)
    against_stub = at_least(
        "predict, 480x480x3 float32, 4 callers",
        f"raw stub, its best chunk size ({best >> 10} KiB)",
        got["ours"],
        got["raw"],
        0.90,
        "calls/s",
    )
    return [against_stub, against_itself._replace(detail=f"calls/s by KiB: {each}")]
