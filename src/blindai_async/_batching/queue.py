"""The callers of a batcher on their way: waiting in the lane of their kind, then in a batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from blindai_async.errors import DeadlineExceededError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable, Sequence

    from blindai_async._batching.compatibility import BatchKey, OutputSignature
    from blindai_async.options import Batching
    from blindai_async.proofs.responses import PredictResponse
    from blindai_async.tensors.inputs import InputTensor

__all__ = ["Batch", "BatchQueue", "PendingRequest", "Watch"]


class PendingRequest:
    """One caller, from the queue to its result."""

    __slots__ = ("batch", "deadline", "future", "inputs", "lane", "nbytes", "queued_at", "rows")

    def __init__(
        self,
        lane: BatchQueue,
        loop: asyncio.AbstractEventLoop,
        inputs: Sequence[InputTensor],
        rows: int,
        timeout: float,
    ) -> None:
        self.lane = lane
        self.inputs = inputs
        self.rows = rows
        self.nbytes = inputs[0].array.nbytes
        for tensor in inputs[1:]:
            self.nbytes += tensor.array.nbytes
        self.queued_at = loop.time()
        self.deadline = self.queued_at + timeout
        self.future: asyncio.Future[PredictResponse] = loop.create_future()
        self.batch: Batch | None = None

    def expired(self) -> DeadlineExceededError:
        """The error to end the wait with when its deadline has passed."""
        seconds = self.deadline - self.queued_at
        return DeadlineExceededError(
            f"predict: no answer within {seconds:g} s", code="DEADLINE_EXCEEDED"
        )

    def fail(self, error: BaseException) -> None:
        """End the wait with an error, unless it has ended."""
        if not self.future.done():
            self.future.set_exception(error)
            self.future.exception()  # a caller who is cancelled at this moment never asks for it


class Watch:
    """Ends the wait of callers whose deadline has passed.

    One timer for all of them: a timer for each would cost as much as the rest of its wait.
    """

    __slots__ = ("_loop", "_timer", "_waiters")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiters: set[PendingRequest] = set()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, waiter: PendingRequest) -> None:
        """Watch over a caller."""
        self._waiters.add(waiter)
        if self._timer is None or waiter.deadline < self._timer.when():
            self._set(waiter.deadline)

    def discard(self, waiter: PendingRequest) -> None:
        """Let a caller go. The timer stays: it finds nobody, or the next one."""
        self._waiters.discard(waiter)

    def discard_all(self, waiters: Iterable[PendingRequest]) -> None:
        """Let the callers of a batch go."""
        self._waiters.difference_update(waiters)

    def stop(self) -> None:
        """Watch no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _set(self, when: float) -> None:
        self.stop()
        self._timer = self._loop.call_at(when, self._expire)

    def _expire(self) -> None:
        self._timer = None
        now = self._loop.time()
        for waiter in self._waiters:
            if waiter.deadline <= now:
                waiter.fail(waiter.expired())
        coming = [waiter.deadline for waiter in self._waiters if waiter.deadline > now]
        if coming:
            self._set(min(coming))


class Batch:
    """The callers whose rows go into one request. When the last one leaves, it is cancelled."""

    __slots__ = ("_live", "rows", "task", "waiters")

    def __init__(self, waiters: list[PendingRequest]) -> None:
        self.waiters = waiters
        self.rows = sum(waiter.rows for waiter in waiters)
        self.task: asyncio.Task[None] | None = None
        self._live = len(waiters)
        for waiter in waiters:
            waiter.batch = self

    def leave(self) -> None:
        """Note that one of the callers is gone."""
        self._live -= 1
        if not self._live and self.task is not None:
            self.task.cancel()  # has no effect on one that is done

    def remaining(self, now: float) -> float:
        """The seconds until the last caller's deadline."""
        return max(0.001, max(waiter.deadline for waiter in self.waiters) - now)


class BatchQueue:
    """The calls of one kind: those that wait, and what is known of the model.

    Attributes:
        model_id: the model they call.
        kind: what they have in common.
        facts: of a row of the model's outputs, once a call has been answered.
        alone: the model takes no batches.
    """

    __slots__ = ("_nbytes", "_rows", "_waiting", "alone", "facts", "kind", "model_id")

    def __init__(self, model_id: str, kind: BatchKey) -> None:
        self.model_id = model_id
        self.kind = kind
        self.facts: OutputSignature | None = None
        self.alone = False
        self._waiting: dict[PendingRequest, None] = {}
        self._rows = self._nbytes = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def waiting(self) -> list[PendingRequest]:
        """The callers that wait, in order."""
        return list(self._waiting)

    def add(self, waiter: PendingRequest) -> None:
        """Let a caller wait."""
        self._waiting[waiter] = None
        self._rows += waiter.rows
        self._nbytes += waiter.nbytes

    def withdraw(self, waiter: PendingRequest) -> bool:
        """Take out a caller, where it still waits."""
        if waiter not in self._waiting:
            return False
        del self._waiting[waiter]
        self._rows -= waiter.rows
        self._nbytes -= waiter.nbytes
        return True

    def departure(self, options: Batching) -> float:
        """The loop's time at which the next batch is to leave: in the past, unless it gathers."""
        first = next(iter(self._waiting))
        full = self._rows >= options.max_batch_size or self._nbytes >= options.max_batch_bytes
        if full or self.alone or self.facts is None:
            return 0.0
        return first.queued_at + options.max_delay

    def take(self, options: Batching) -> Batch:
        """Take out the callers of the next batch: as many as fit, the first one in any case.

        Those that were cancelled in this turn of the loop are left to withdraw by themselves.
        """
        taken: list[PendingRequest] = []
        rows = nbytes = 0
        for waiter in self._waiting:
            if waiter.future.done():
                continue
            rows += waiter.rows
            nbytes += waiter.nbytes
            if taken and (rows > options.max_batch_size or nbytes > options.max_batch_bytes):
                break
            taken.append(waiter)
            if self.alone or self.facts is None:
                break
        for waiter in taken:
            self.withdraw(waiter)
        return Batch(taken)

    def learn(self, facts: OutputSignature | None) -> None:
        """Note a row of the outputs of one call; None where they do not have the call's rows.

        A model whose rows come out differently from call to call can not be asked for several.
        """
        self.alone = self.alone or facts is None or facts != (self.facts or facts)
        self.facts = facts

    def forget(self) -> None:
        """Drop what was learned of the model."""
        self.facts, self.alone = None, False
