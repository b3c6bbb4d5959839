"""The callers of a batcher on their way: waiting in the lane of their kind, then in a batch."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import TYPE_CHECKING

from blindai_async.errors import DeadlineExceededError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from blindai_async._batch import Kind, OutputFacts
    from blindai_async.options import Batching
    from blindai_async.responses import PredictResponse
    from blindai_async.tensors.inputs import InputTensor

__all__ = ["Batch", "Lane", "Waiter"]


class Waiter:
    """One caller, from the queue to its result."""

    __slots__ = ("batch", "deadline", "expiry", "future", "inputs", "nbytes", "queued_at", "rows")

    def __init__(self, inputs: Sequence[InputTensor], rows: int, timeout: float) -> None:
        loop = asyncio.get_running_loop()
        self.inputs = inputs
        self.rows = rows
        self.nbytes = sum(tensor.array.nbytes for tensor in inputs)
        self.queued_at = loop.time()
        self.deadline = self.queued_at + timeout
        self.future: asyncio.Future[PredictResponse] = loop.create_future()
        self.expiry = loop.call_at(self.deadline, self._expire)
        self.batch: Batch | None = None

    def _expire(self) -> None:
        seconds = self.deadline - self.queued_at
        self.fail(
            DeadlineExceededError(
                f"predict: no answer within {seconds:g} s", code="DEADLINE_EXCEEDED"
            )
        )

    def fail(self, error: BaseException) -> None:
        """End the wait with an error, unless it has ended."""
        if not self.future.done():
            self.future.set_exception(error)

    def leave(self) -> None:
        """Note that the caller is gone, with its result or without."""
        self.expiry.cancel()
        if self.batch is not None:
            self.batch.leave()


class Batch:
    """The callers whose rows go into one request. When the last one leaves, it is cancelled."""

    __slots__ = ("_live", "rows", "task", "waiters")

    def __init__(self, waiters: list[Waiter]) -> None:
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


class Lane:
    """The calls of one kind: those that wait, and what is known of the model.

    Attributes:
        kind: what they have in common.
        facts: of a row of the model's outputs, once a call has been answered.
        probing: the first call is under way, alone.
        alone: the model takes no batches.
    """

    __slots__ = ("_nbytes", "_rows", "_waiting", "alone", "facts", "kind", "probing")

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.facts: OutputFacts | None = None
        self.probing = False
        self.alone = False
        self._waiting: OrderedDict[Waiter, None] = OrderedDict()
        self._rows = self._nbytes = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def waiting(self) -> list[Waiter]:
        """The callers that wait, in order."""
        return list(self._waiting)

    def add(self, waiter: Waiter) -> None:
        """Let a caller wait."""
        self._waiting[waiter] = None
        self._rows += waiter.rows
        self._nbytes += waiter.nbytes

    def withdraw(self, waiter: Waiter) -> bool:
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
        taken: list[Waiter] = []
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

    def forget(self) -> None:
        """Drop what was learned of the model."""
        self.facts, self.alone = None, False
