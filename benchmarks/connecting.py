"""A connection to the benchmark's server, and something large to send over it."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import blindai_async
from blindai_async.errors import SimulationModeWarning

if TYPE_CHECKING:
    from benchmarks.serving import Served


def connect(served: Served, **options: Any) -> blindai_async.AsyncConnection:
    """Simulation mode: attestation happens once a connection, and has a benchmark of its own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SimulationModeWarning)
        return blindai_async.connect(
            "127.0.0.1",
            simulation=True,
            attested_port=served.attested_port,
            untrusted_port=served.untrusted_port,
            **options,
        )


def large_file(directory: str, size: int) -> Path:
    """Write a file of `size` bytes that no compression makes small."""
    path = Path(directory, "large.onnx")
    block = os.urandom(1 << 20)
    with path.open("wb") as file:
        for _ in range(size // len(block)):
            file.write(block)
        file.write(block[: size % len(block)])
    return path
