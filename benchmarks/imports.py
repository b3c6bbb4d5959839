"""How long importing the package takes, against importing what it cannot do without."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import TYPE_CHECKING

from benchmarks.measuring import Figure, at_most, interleaved

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


async def run(rounds: int = 15) -> list[Figure]:
    """Measure the figures of this file."""
    statements = {
        "package": "import blindai_async",
        "connect": "from blindai_async import connect",
        "theirs": "import grpc.aio, numpy, pydantic; pydantic.BaseModel",
    }

    def timed(statement: str) -> Callable[[], Awaitable[float]]:
        return lambda: _milliseconds(statement)

    got = await interleaved(
        {name: timed(statement) for name, statement in statements.items()}, rounds
    )
    return [
        at_most(
            statements[name],
            "import grpc.aio, numpy and pydantic's BaseModel",
            got[name],
            got["theirs"],
            1.25,
            "ms, whole process",
        )
        for name in ("package", "connect")
    ]


async def _milliseconds(statement: str) -> float:
    start = time.perf_counter()
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", statement)
    assert await process.wait() == 0
    return 1000 * (time.perf_counter() - start)
