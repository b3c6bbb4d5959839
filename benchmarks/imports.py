"""How long importing the package takes, against importing what it cannot do without."""

from __future__ import annotations

import asyncio
import sys
import time

from benchmarks.measuring import Figure, at_most, interleaved


async def run(rounds: int = 15) -> list[Figure]:
    """Measure the figures of this file."""

    async def ours() -> float:
        return await _seconds("import blindai_async")

    async def theirs() -> float:
        return await _seconds("import grpc.aio, numpy, pydantic; pydantic.BaseModel")

    got = await interleaved({"ours": ours, "theirs": theirs}, rounds)
    milliseconds = {name: [1000 * seconds for seconds in got[name]] for name in got}
    return [
        at_most(
            "import blindai_async",
            "import grpc.aio, numpy, pydantic",
            milliseconds["ours"],
            milliseconds["theirs"],
            1.25,
            "ms, whole process",
        )
    ]


async def _seconds(statement: str) -> float:
    start = time.perf_counter()
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", statement)
    assert await process.wait() == 0
    return time.perf_counter() - start
