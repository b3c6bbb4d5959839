"""What a user tunes about a connection, as frozen pydantic models."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, NonNegativeFloat, PositiveFloat, PositiveInt

__all__ = ["Batching", "RetryPolicy", "Timeouts"]


class Timeouts(BaseModel):
    """Deadlines of a connection's calls, in seconds, each over all of its retries.

    Attributes:
        connect: for the whole handshake: lookup, host certificate, version, evidence.
        call: for one `predict` or `delete_model`.
        upload: for one `upload_model`.
    """

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid")

    connect: PositiveFloat = 15.0
    call: PositiveFloat = 60.0
    upload: PositiveFloat = 600.0


class Batching(BaseModel):
    """How concurrent predictions are joined into one request; see `AsyncConnection`.

    A call on an idle connection is sent at once. While `max_in_flight` batches are out, further
    calls gather for the next.

    Attributes:
        max_batch_size: rows a batch.
        max_delay: seconds that a batch which is not full waits for company; 0 does not wait.
        max_batch_bytes: bytes of input a batch. A single call may be larger, and goes alone.
        max_in_flight: batches under way at once.
        max_queue: calls that wait to be sent; further ones wait in `predict`, before their
            inputs take a place in the queue.
    """

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid")

    max_batch_size: PositiveInt = 64
    max_delay: NonNegativeFloat = 0.0
    max_batch_bytes: PositiveInt = 4 << 20
    max_in_flight: PositiveInt = 4
    max_queue: PositiveInt = 4096


class RetryPolicy(BaseModel):
    """When a call that may have reached the server is sent again.

    One that cannot have reached it, because the server was unreachable or refused the stream, is
    sent again until its deadline, and spends none of this.

    Only what is safe to send twice is: `predict` and `delete_model`; `upload_model` where nothing
    of the model had been sent, or a `model_id` was given. Only when the connection broke: never
    what the server refused, and never what failed verification. All attempts together stay within
    the call's deadline.

    Attributes:
        attempts: how often a call is sent, at most; 1 never sends again.
        base_delay: seconds before the second attempt; doubled each time. What is waited is a random
            part of it, so that many callers do not come back at once.
        max_delay: seconds, at most.
        budget: retries that the connection may spend: a server in trouble is not buried under them.
            A call that succeeds earns back a tenth of one, and five seconds earn back all.
    """

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid")

    attempts: PositiveInt = 6
    base_delay: PositiveFloat = 0.1
    max_delay: PositiveFloat = 2.0
    budget: PositiveInt = 128
