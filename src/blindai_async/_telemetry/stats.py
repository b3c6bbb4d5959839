"""What a connection tells about itself: counts, percentiles, and which models are joined."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field


class Percentiles(BaseModel):
    """Percentiles of a duration, in seconds, each exact to 9 %; 0 where nothing was measured."""

    model_config: ClassVar[ConfigDict] = ConfigDict(defer_build=True, frozen=True)

    count: int = 0
    p50: float = 0.0
    p90: float = 0.0
    p99: float = 0.0
    max: float = 0.0


class ModelBatching(BaseModel):
    """Whether the calls of one model share requests, and why not.

    Calls are told apart by their inputs' dtypes and row shapes: each combination is a kind of its
    own, proven on its own.

    Attributes:
        state: "joined" where a kind of the model's calls is joined; else "probing" where one is
            still to be proven; else "alone".
        why: why the newest kind is not joined; "" where it is.
        joined: kinds that are joined.
        probing: kinds that are still to be proven: their calls go alone meanwhile.
        alone: kinds whose calls go alone.
        probes: how often a kind was probed, audits included.
        largest_difference: the largest difference that a probe found between an answer in a batch
            and the same rows' answer alone, relative to the answer; 0.0 where all were the same.
        max_rows: rows that a batch may have now, of the kind with the most; 0 where none is joined.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(defer_build=True, frozen=True)

    state: Literal["joined", "probing", "alone"]
    why: str = ""
    joined: int = 0
    probing: int = 0
    alone: int = 0
    probes: int = 0
    largest_difference: float = 0.0
    max_rows: int = 0


class ConnectionStats(BaseModel):
    """What a connection has done so far.

    Attributes:
        calls: predictions that callers asked for.
        rpcs: requests that were sent for them, retries and the batcher's probes included.
        failures: predictions that ended in an error.
        rows: rows that went through batches, those of a single caller included.
        batch_sizes: how many batches had how many rows.
        queue_wait: from the call of `predict` to its batch's dispatch (batched calls only).
        latency: from the call of `predict` to its result.
        bytes_sent: tensor bytes of all requests.
        bytes_received: bytes of all replies.
        models: of each model that was called through the batcher, whether its calls are joined.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(defer_build=True, frozen=True)

    calls: int
    rpcs: int
    failures: int
    rows: int
    batch_sizes: dict[int, int]
    queue_wait: Percentiles
    latency: Percentiles
    bytes_sent: int
    bytes_received: int
    models: dict[str, ModelBatching] = Field(default_factory=dict)
