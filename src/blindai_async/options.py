"""What a user tunes about a connection, as frozen pydantic models."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
)

__all__ = ["Batching", "Independence", "RetryPolicy", "Timeouts"]

Independence: TypeAlias = Literal["probe", "assume", "never"]
"""How a model's rows are known to be independent; see `Batching`."""


class Timeouts(BaseModel):
    """Deadlines of a connection's calls, in seconds, each over all of its retries.

    Attributes:
        connect: for the whole handshake: lookup, host certificate, version, evidence.
        call: for one `predict` or `delete_model`.
        upload: for one `upload_model`.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(defer_build=True, frozen=True, extra="forbid")

    connect: PositiveFloat = 15.0
    call: PositiveFloat = 60.0
    upload: PositiveFloat = 600.0


class Batching(BaseModel):
    """How concurrent predictions are joined into one request; see `AsyncConnection`.

    A call on an idle connection is sent at once. While `max_in_flight` batches are out, further
    calls gather for the next.

    A model may mix the rows of a batch: one that is quantised dynamically, or normalises over
    axis 0, gives a row another answer beside other rows. So joining needs proof. Calls are told
    apart by model, dtypes and row shapes; of each such kind the first concurrent calls go alone,
    and beside them go **probes**: requests in which the same rows stand together, among scaled,
    rearranged and repeated ones, and whose answers have to be those that the rows got alone. What
    passed is joined, up to the rows that were probed. Later a batch is audited now and then in the
    same way. A difference ends joining for the kind, with a `BatchingWarning`.

    Attributes:
        max_batch_size: rows a batch.
        max_delay: seconds that a batch which is not full waits for company; 0 does not wait.
        max_batch_bytes: bytes of input a batch. A single call may be larger, and goes alone.
        max_in_flight: batches under way at once.
        max_queue: calls that wait to be sent; further ones wait in `predict` for a place.
        independence: how the rows of a model are known to be independent of each other. "probe"
            proves it, as said above. **"assume" takes your word**: where it is wrong, callers get
            wrong answers without notice, and one caller's input changes another's answer; only
            the number of rows and the shapes of the outputs are still compared. "never" joins no
            calls.
        models: the same for single models, by id: ``{"digits": "assume"}``.
        rtol: the relative difference between an answer in a batch and alone that is taken for
            rounding. Where None, 2e-5 for float32 and 1e-9 for float64. Integers and booleans have
            to be equal.
        atol: the absolute difference, added to the relative one. Where None, 1e-6 for float32 and
            1e-12 for float64.
        probe_values: what probes may hold. "derived": the callers' rows, and rows made of them:
            scaled by up to 1e12, rearranged. "observed": the callers' rows as they came and nothing
            else, for models that must not see a value that nobody chose. It finds less: a
            dependence that only an outlier shows stays hidden until a caller sends one and an
            audit meets it.
        audit_every: batches of a kind between two audits; fewer at first.
        shared: inputs without a batch axis, by name or by position (from 0), as in ``("sr",)``.
            Calls are joined where these are the same bytes, and they are sent once. A scalar input
            is always one of them. Names are those that the upload's `input_specs` gave.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(defer_build=True, frozen=True, extra="forbid")

    max_batch_size: PositiveInt = 64
    max_delay: NonNegativeFloat = 0.0
    max_batch_bytes: PositiveInt = 4 << 20
    max_in_flight: PositiveInt = 4
    max_queue: PositiveInt = 4096
    independence: Independence = "probe"
    models: dict[str, Independence] = Field(default_factory=dict)
    rtol: Annotated[NonNegativeFloat, Field(allow_inf_nan=False)] | None = None
    atol: Annotated[NonNegativeFloat, Field(allow_inf_nan=False)] | None = None
    probe_values: Literal["derived", "observed"] = "derived"
    audit_every: PositiveInt = 1000
    shared: tuple[str | NonNegativeInt, ...] = ()


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
            A call that succeeds earns back a tenth of one, and five seconds earn back all. A call
            that ended with its connection spends none: all calls under way end at once then.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(defer_build=True, frozen=True, extra="forbid")

    attempts: PositiveInt = 6
    base_delay: PositiveFloat = 0.1
    max_delay: PositiveFloat = 2.0
    budget: PositiveInt = 128
