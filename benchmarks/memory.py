"""Memory of large uploads, and the evenness of long runs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.connecting import connect, large_file
from benchmarks.measuring import Figure, ratios
from benchmarks.serving import server
from blindai_async import Batching
from blindai_async.errors import RequestRejectedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.serving import Served

_GB = 1_000_000_000
_MIB = 1 << 20


async def run(rounds: int = 5) -> list[Figure]:
    """Measure the figures of this file."""
    async with server() as served:
        return [await _upload(served), *await _long_run(served, rounds)]


async def _upload(served: Served) -> Figure:
    """Upload a file of 1 GB. It is no model: the server says so when it has all of it."""
    with tempfile.TemporaryDirectory() as directory:
        path = await asyncio.to_thread(large_file, directory, _GB)
        async with connect(served) as conn:
            peak = Peak()
            start = time.perf_counter()
            async with asyncio.TaskGroup() as tasks:
                watcher = tasks.create_task(peak.watch())
                with contextlib.suppress(RequestRejectedError):
                    await conn.upload_model(path)
                watcher.cancel()
            seconds = time.perf_counter() - start
    mib = peak.grown / _MIB
    return Figure(
        "upload of a 1 GB file",
        "resident memory before",
        mib,
        mib,
        mib,
        "<= 64 MiB more",
        mib <= 64,
        f"{_GB / seconds / 1e6:.0f} MB/s",
    )


class Peak:
    """How much resident memory has grown, at most, since this was made."""

    def __init__(self) -> None:
        self.grown = 0.0
        self._before = resident()

    async def watch(self) -> None:
        """Look every few milliseconds, until cancelled."""
        while True:
            self.grown = max(self.grown, resident() - self._before)
            await asyncio.sleep(0.005)


async def _long_run(served: Served, rounds: int) -> list[Figure]:
    row = np.random.default_rng(0).random((1, 64), dtype=np.float32)
    grown: list[float] = []

    async with connect(served, batching=Batching()) as conn:

        async def scored(count: int) -> float:
            """The seconds that a run takes."""
            start = time.perf_counter()
            async for _ in conn.predict_many("linear", _repeat(row, count)):
                pass
            return time.perf_counter() - start

        long, short = [], []
        await scored(10_000)
        for _ in range(rounds):
            # Ten short runs around a long one: the machine's phases are longer than one of them.
            before = [await scored(10_000) for _ in range(5)]
            resident_before = resident()
            long.append(100_000 / await scored(100_000))
            grown.append((resident() - resident_before) / _MIB)
            after = [await scored(10_000) for _ in range(5)]
            short.append(100_000 / sum(before + after))
    value, low, high = ratios(long, short)
    rates = statistics.median(long), statistics.median(short)
    return [
        Figure(
            "100,000 rows through predict_many",
            "10,000 rows",
            value,
            low,
            high,
            "0.90x to 1.10x",
            0.9 <= value <= 1.1,
            f"{rates[0]:.0f} against {rates[1]:.0f} rows/s",
        ),
        Figure(
            "memory of 100,000 rows",
            "before the run, warmed up",
            sorted(grown)[len(grown) // 2],
            min(grown),
            max(grown),
            "<= 8 MiB more",
            sorted(grown)[len(grown) // 2] <= 8,
            "MiB, resident",
        ),
    ]


def _repeat(row: np.ndarray, count: int) -> Iterator[np.ndarray]:
    for _ in range(count):
        yield row


def resident() -> float:
    """This process's resident memory, in bytes (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return float(pages * os.sysconf("SC_PAGE_SIZE"))
