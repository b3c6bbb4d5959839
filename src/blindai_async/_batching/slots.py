"""Who may send a batch now: the kinds that have calls under way share the slots."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from blindai_async._batching.queue import BatchQueue

_FEW = 4  # callers of a kind at once


class SlotShares:
    """The slots for batches under way, and how the queues share them.

    Args:
        slots: how many there are for a single kind.

    Attributes:
        in_flight: batches under way, those of one call that take no slot included.
    """

    __slots__ = ("_busy", "_slots", "_taken", "in_flight")

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._taken = 0
        self._busy: set[BatchQueue] = set()  # those with calls under way
        self.in_flight = 0

    def has_slot(self, queue: BatchQueue) -> bool:
        """Tell whether a batch of a queue may go now.

        A kind that has nothing under way does not wait for the others' batches: who calls a quiet
        model would otherwise wait behind all that a busy one has sent to the server.
        """
        if not queue.independence.joined:
            return queue.in_flight + queue.going_alone < queue.independence.most_alone
        kinds = len(self._busy) + (queue not in self._busy)
        at_once = self._slots if queue.in_flight else 2 * self._slots
        return queue.in_flight < max(1, self._slots // kinds) and self._taken < at_once

    def most_rows(self, queue: BatchQueue) -> int:
        """How many rows the next batch of a queue may have.

        Beside a kind with few callers, half as many: theirs are slowed down by every batch that the
        server and this loop work on meanwhile.
        """
        limit = queue.independence.limit
        if queue.callers > _FEW and any(other.callers <= _FEW for other in self._busy):
            return max(1, limit // 2)
        return limit

    def begin_batch(self, queue: BatchQueue, callers: int, slots: int) -> None:
        """Note that a batch is on its way.

        Args:
            queue: whose.
            callers: of the batch.
            slots: that it takes: none where its calls go alone, which would starve the batches.
        """
        self.in_flight += 1
        self._taken += slots
        queue.in_flight += 1
        queue.callers_in_flight += callers
        self._busy.add(queue)

    def end_batch(self, queue: BatchQueue, callers: int, slots: int) -> None:
        """Note that such a batch has ended."""
        self.in_flight -= 1
        self._taken -= slots
        queue.in_flight -= 1
        queue.callers_in_flight -= callers
        self._note_busy(queue)

    def begin_alone(self, queue: BatchQueue) -> None:
        """Note that a call is on its way alone, in its caller's own task."""
        queue.going_alone += 1
        self._busy.add(queue)

    def end_alone(self, queue: BatchQueue) -> None:
        """Note that such a call has ended."""
        queue.going_alone -= 1
        self._note_busy(queue)

    def _note_busy(self, queue: BatchQueue) -> None:
        if not queue.in_flight and not queue.going_alone:
            self._busy.discard(queue)
