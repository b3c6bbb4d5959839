"""A connection to the benchmark's server."""

from __future__ import annotations

import warnings
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
