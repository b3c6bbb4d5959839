"""The callers of a batcher: waiting in the queue of their kind, then in a batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from blindai_async._base_errors import deadline_exceeded

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from blindai_async._base_errors import DeadlineExceededError
    from blindai_async._batching.compatibility import BatchKey
    from blindai_async._batching.independence import RowIndependence
    from blindai_async.attestation import SgxEvidence
    from blindai_async.options import Batching
    from blindai_async.proofs.responses import PredictResponse
    from blindai_async.tensors.inputs import InputTensor


class PendingRequest:
    """One caller, from the queue to its result."""

    __slots__ = ("batch", "deadline", "future", "inputs", "nbytes", "queue", "queued_at", "rows")

    def __init__(
        self,
        queue: BatchQueue,
        loop: asyncio.AbstractEventLoop,
        inputs: Sequence[InputTensor],
        rows: int,
        timeout: float,
    ) -> None:
        self.queue = queue
        self.inputs = inputs
        self.rows = rows
        if len(inputs) == 1:
            self.nbytes = inputs[0].array.nbytes
        else:
            own = (t.array.nbytes for i, t in enumerate(inputs) if i not in queue.shared)
            self.nbytes = sum(own)
        self.queued_at = loop.time()
        self.deadline = self.queued_at + timeout
        self.future: asyncio.Future[PredictResponse] = loop.create_future()
        self.batch: Batch | None = None

    @property
    def answered(self) -> bool:
        """Whether the caller has its answer, and not an error."""
        future = self.future
        return future.done() and not future.cancelled() and future.exception() is None

    def expired(self) -> DeadlineExceededError:
        """The error to end the wait with when its deadline has passed."""
        return deadline_exceeded("predict", self.deadline - self.queued_at)

    def fail(self, error: BaseException) -> None:
        """End the wait with an error, unless it has ended."""
        if not self.future.done():
            self.future.set_exception(error)
            self.future.exception()  # a caller who is cancelled at this moment never asks for it


class Batch:
    """The callers whose rows go into one request. When the last one leaves, it is cancelled."""

    __slots__ = ("_live", "requests", "rows", "task")

    def __init__(self, requests: list[PendingRequest], rows: int) -> None:
        self.requests = requests
        self.rows = rows
        self.task: asyncio.Task[None] | None = None
        self._live = len(requests)
        for request in requests:
            request.batch = self

    def leave(self) -> None:
        """Note that one of the callers is gone."""
        self._live -= 1
        if not self._live and self.task is not None:
            self.task.cancel()  # has no effect on one that is done

    def remaining(self, now: float) -> float:
        """The seconds until the last caller's deadline."""
        return max(0.001, max(request.deadline for request in self.requests) - now)

    def waiting(self) -> list[PendingRequest]:
        """The callers that still wait for an answer."""
        return [request for request in self.requests if not request.future.done()]


class BatchQueue:
    """The calls of one kind that wait to be sent.

    Attributes:
        model_id: the model they call.
        key: what they have in common.
        shared: positions of the inputs that are the same in all of them.
        independence: what is known of the kind.
        going_alone: calls of the kind under way that went without a batch.
        in_flight: batches of the kind under way.
        callers_in_flight: their callers.
        evidence: of the enclave that answered the last batch.
    """

    __slots__ = (
        "_nbytes",
        "_rows",
        "_waiting",
        "callers_in_flight",
        "evidence",
        "going_alone",
        "in_flight",
        "independence",
        "key",
        "model_id",
        "shared",
    )

    def __init__(
        self,
        model_id: str,
        key: BatchKey,
        shared: frozenset[int],
        independence: RowIndependence,
    ) -> None:
        self.model_id = model_id
        self.key = key
        self.shared = shared
        self.independence = independence
        self.going_alone = self.in_flight = self.callers_in_flight = 0
        self.evidence: SgxEvidence | None = None
        self._waiting: dict[PendingRequest, None] = {}
        self._rows = self._nbytes = 0

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def unused(self) -> bool:
        """Whether the kind has no calls, waiting or under way, and no probe."""
        busy = self._waiting or self.going_alone or self.in_flight or self.independence.probing
        return not busy

    @property
    def callers(self) -> int:
        """The calls of the kind, waiting or under way."""
        return len(self._waiting) + self.going_alone + self.callers_in_flight

    def waiting(self) -> list[PendingRequest]:
        """The callers that wait, in order."""
        return list(self._waiting)

    def add(self, request: PendingRequest) -> None:
        """Let a caller wait."""
        self._waiting[request] = None
        self._rows += request.rows
        self._nbytes += request.nbytes

    def withdraw(self, request: PendingRequest) -> bool:
        """Take out a caller, where it still waits."""
        if request not in self._waiting:
            return False
        del self._waiting[request]
        self._rows -= request.rows
        self._nbytes -= request.nbytes
        return True

    def dispatch_at(self, options: Batching) -> float:
        """The loop's time at which the next batch is to go: in the past, unless it gathers."""
        full = self._rows >= self.independence.limit or self._nbytes >= options.max_batch_bytes
        if full or not options.max_delay or not self.independence.joined:
            return 0.0
        return next(iter(self._waiting)).queued_at + options.max_delay

    def take(self, callers: int, most_rows: int, most_bytes: int) -> Batch:
        """Take out the callers of the next batch: as many as fit, the first one in any case.

        Those that were cancelled in this turn of the loop are left to withdraw by themselves.

        Args:
            callers: how many, at most.
            most_rows: of all of them.
            most_bytes: of their inputs.
        """
        taken: list[PendingRequest] = []
        rows = nbytes = 0
        for request in self._waiting:
            if request.future.done():
                continue
            more_rows, more_bytes = rows + request.rows, nbytes + request.nbytes
            if taken and (more_rows > most_rows or more_bytes > most_bytes):
                break
            rows, nbytes = more_rows, more_bytes
            taken.append(request)
            if len(taken) == callers:
                break
        for request in taken:
            del self._waiting[request]
        self._rows -= rows
        self._nbytes -= nbytes
        return Batch(taken, rows)
