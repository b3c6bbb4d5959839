"""Sends what waits in the queues, batch by batch, and hands out the answers."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import TYPE_CHECKING

from blindai_async._base_errors import own_instance
from blindai_async._batching.compatibility import join, output_signature
from blindai_async._batching.deadlines import DeadlineTimer
from blindai_async._batching.probe_inputs import own_copies
from blindai_async._batching.queue import Batch, BatchQueue, PendingRequest
from blindai_async._batching.refusals import is_refusal, is_too_large
from blindai_async._batching.slots import SlotShares
from blindai_async.errors import (
    ConnectionClosedError,
    RequestRejectedError,
    TransportError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Sequence

    from blindai_async._batching.capacity import QueueCapacity
    from blindai_async._batching.compatibility import BatchKey
    from blindai_async._batching.predictor import Predictor
    from blindai_async._telemetry.recorder import Recorder
    from blindai_async._wire.tensor_data import OutgoingTensor
    from blindai_async.options import Batching
    from blindai_async.proofs.responses import PredictResponse

_AUDITED = 8  # callers of an audited batch: each of them costs a request of its own


class BatchDispatcher:
    """Sends batches: one a queue and turn, as many at once as the options allow.

    Args:
        options: how large, how many, how long.
        send: sends one request.
        capacity: gets the places back of what has been sent.
        recorder: counts batches and waits.
        audit: is given the callers of an audited batch, once they were answered alone.
    """

    def __init__(
        self,
        options: Batching,
        send: Predictor,
        capacity: QueueCapacity,
        recorder: Recorder,
        audit: Callable[[BatchQueue, Sequence[PendingRequest]], None],
    ) -> None:
        self._options = options
        self._send = send
        self._capacity = capacity
        self._recorder = recorder
        self._audit_answers = audit
        self._loop = asyncio.get_running_loop()
        # Those with callers waiting, the one that was served last at the end.
        self._ready: OrderedDict[BatchKey, BatchQueue] = OrderedDict()
        self._deadlines = DeadlineTimer(self._loop, self._pending)
        self.shares = SlotShares(options.max_in_flight)
        self._idle = asyncio.Event()
        self._under_way: dict[asyncio.Task[None], Batch] = {}
        self._turn: asyncio.Handle | None = None
        self._alarm: asyncio.TimerHandle | None = None  # when the next batch has gathered enough
        self._closed = False

    def enqueue(self, request: PendingRequest) -> None:
        """Let a caller's rows wait for a batch."""
        if self._closed:
            raise closed_error()
        queue = request.queue
        self._deadlines.add(request.deadline)
        self._capacity.taken += 1
        if not queue:
            self._ready[queue.key] = queue
        queue.add(request)
        self._dispatch_soon()

    def leave(self, request: PendingRequest) -> None:
        """Give up a wait without a result: rows that were not sent are withdrawn."""
        batch, request.batch = request.batch, None
        if batch is not None:
            batch.leave()
        elif request.queue.withdraw(request):
            self._capacity.release(1)
            self._note_idle()

    def _pending(self) -> Iterator[PendingRequest]:
        """Everybody who waits, in a queue or in a batch."""
        for queue in self._ready.values():
            yield from queue.waiting()
        for batch in self._under_way.values():
            yield from (request for request in batch.requests if request.batch is batch)

    def _dispatch_soon(self) -> None:
        """Send what can be sent, once the callers that are about to run have had their turn.

        Those that the last batch has just answered come back in this same turn of the loop.
        """
        if self._turn is None and not self._closed:
            self._turn = self._loop.call_soon(self._dispatch_turn)

    def _dispatch_turn(self) -> None:
        self._turn = None
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        now, gathered_at = self._loop.time(), float("inf")
        progress = True
        while progress:
            progress = False
            for key, queue in list(self._ready.items()):
                if not queue:
                    del self._ready[key]
                    continue
                if not self.shares.has_slot(queue):
                    continue
                due = queue.dispatch_at(self._options)
                if due > now:
                    gathered_at = min(gathered_at, due)
                elif self._dispatch(queue):
                    self._ready.move_to_end(key)
                    progress = True
        if gathered_at < float("inf"):
            self._alarm = self._loop.call_at(gathered_at, self._dispatch_turn)

    def _dispatch(self, queue: BatchQueue) -> bool:
        independence = queue.independence
        audited = independence.joined and len(queue) > 1 and independence.audit_is_due()
        if not independence.joined:
            callers = 1
        else:
            callers = _AUDITED if audited else self._options.max_batch_size
        batch = queue.take(callers, self.shares.most_rows(queue), self._options.max_batch_bytes)
        if not batch.requests:
            return False  # all of them were cancelled, and are about to withdraw
        slots = int(independence.joined)  # what goes alone takes none: it would starve the batches
        self.begin_call(queue, len(batch.requests), slots)
        self._capacity.release(len(batch.requests))
        now = self._loop.time()
        self._recorder.queue_wait.add_all([now - request.queued_at for request in batch.requests])
        carry = self._audit(queue, batch) if audited else self._carry(queue, batch)
        callers = len(batch.requests)
        self._launch(batch, carry).add_done_callback(lambda _: self.end_call(queue, callers, slots))
        return True

    def begin_call(self, queue: BatchQueue, callers: int, slots: int) -> None:
        """Note that a batch is on its way; see `SlotShares.begin_batch`."""
        self.shares.begin_batch(queue, callers, slots)

    def end_call(self, queue: BatchQueue, callers: int, slots: int) -> None:
        """Note that such a batch has ended, and send what waits for its slot."""
        self.shares.end_batch(queue, callers, slots)
        self.wake()
        self._note_idle()

    def wake(self) -> None:
        """Look whether something that waits can go now."""
        if self._ready:
            self._dispatch_soon()

    def _note_idle(self) -> None:
        if self._capacity.empty and not self.shares.in_flight:
            self._idle.set()

    def _launch(self, batch: Batch, carry: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = self._loop.create_task(carry)
        batch.task = task
        self._under_way[task] = batch
        task.add_done_callback(lambda task: self._settle(batch, task))
        return task

    def _settle(self, batch: Batch, task: asyncio.Task[None]) -> None:
        """Whatever ended a batch, none of its callers is left waiting."""
        del self._under_way[task]
        batch.task = None
        error = closed_error() if task.cancelled() else task.exception()
        if error is not None:
            for request in batch.requests:
                if request.batch is batch:
                    request.fail(error if len(batch.requests) == 1 else own_instance(error))

    async def _carry(self, queue: BatchQueue, batch: Batch) -> None:
        """Send a batch and hand out its answer."""
        independence, epoch = queue.independence, queue.independence.epoch
        several = len(batch.requests) > 1
        if several and not independence.joined:  # any more: it was, when the batch was formed
            await self._one_by_one(queue, batch)
            return
        tensors = join([request.inputs for request in batch.requests], batch.rows, queue.shared)
        try:
            response = await self.request(
                queue.model_id, tensors, batch.rows, batch.remaining(self._loop.time())
            )
        except TransportError as error:
            if not several or not is_refusal(error):
                raise
            await self._after_refusal(queue, batch, error)
            return
        signature = output_signature(response, batch.rows)
        if not several:
            if epoch == independence.epoch:
                independence.note_answer(signature, self._loop.time())
            _answer(batch, [response])
        elif epoch == independence.epoch and signature == independence.signature:
            independence.note_batch(batch.rows)
            if response.attestation is not queue.evidence:
                queue.evidence = response.attestation  # another session: other models, perhaps
                independence.audit_next()
            _answer(batch, response.split([request.rows for request in batch.requests]))
        else:
            if epoch == independence.epoch:
                independence.blame_batch(self._loop.time())
            # Else the model was replaced, or found to be dependent, while the batch was on its way:
            # in its answers one caller's rows may have changed another's.
            await self._one_by_one(queue, batch)

    async def request(
        self, model_id: str, tensors: Sequence[OutgoingTensor], rows: int, timeout: float
    ) -> PredictResponse:
        """Send one request, and count its rows."""
        self._recorder.rows += rows
        self._recorder.batch_sizes[rows] += 1
        return await self._send(model_id, tensors, timeout)

    async def _after_refusal(self, queue: BatchQueue, batch: Batch, error: TransportError) -> None:
        """Send the callers' rows in smaller requests, and learn whose fault it was.

        A batch that was too large, or came when the server had too much to do, is halved. One that
        was refused for its content is taken apart: a row that the model does not take fails its
        own caller and nobody else.
        """
        independence, epoch = queue.independence, queue.independence.epoch
        waiting = batch.waiting()
        if not isinstance(error, RequestRejectedError) or is_too_large(error):
            if is_too_large(error):
                independence.shrink(batch.rows)
            middle = (len(waiting) + 1) // 2
            halves = [half for half in (waiting[:middle], waiting[middle:]) if half]
            await self._carry_all(queue, halves)
            return
        await self._one_by_one(queue, batch)
        answered = bool(waiting) and all(request.answered for request in waiting)
        if answered and epoch == independence.epoch:
            independence.blame_batch(self._loop.time())

    async def _one_by_one(self, queue: BatchQueue, batch: Batch) -> None:
        """Send each caller's rows on their own."""
        await self._carry_all(queue, [[request] for request in batch.waiting()])

    async def _carry_all(self, queue: BatchQueue, groups: Sequence[list[PendingRequest]]) -> None:
        batches = [Batch(group, sum(request.rows for request in group)) for group in groups]
        tasks = [self._launch(batch, self._carry(queue, batch)) for batch in batches]
        if tasks:
            await asyncio.wait(tasks)

    async def _audit(self, queue: BatchQueue, batch: Batch) -> None:
        """Answer the callers of a batch alone, and have these answers compared with a batch's."""
        epoch = queue.independence.epoch
        requests = batch.requests
        for request in requests:
            request.inputs = own_copies(request.inputs)
        await self._one_by_one(queue, batch)
        if epoch == queue.independence.epoch:
            self._audit_answers(queue, [request for request in requests if request.answered])

    async def drain(self) -> None:
        """Wait until nobody waits and nothing is under way."""
        self._idle.clear()
        self._note_idle()
        await self._idle.wait()

    async def close(self) -> None:
        """Fail every caller, whether its rows wait or are under way."""
        self._closed = True
        for handle in (self._turn, self._alarm):
            if handle is not None:
                handle.cancel()
        self._deadlines.stop()
        self._capacity.close(closed_error)
        for queue in self._ready.values():
            for request in queue.waiting():
                request.fail(closed_error())
        tasks = list(self._under_way)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _answer(batch: Batch, parts: Sequence[PredictResponse]) -> None:
    """Give each caller of a batch its part of the answer."""
    for request, part in zip(batch.requests, parts, strict=True):
        request.batch = None  # no cycle is left to the garbage collector
        if not request.future.done():
            request.future.set_result(part)


def closed_error() -> ConnectionClosedError:
    """The error for a caller whose call the closing of the connection ended."""
    return ConnectionClosedError("the connection was closed during the call")
