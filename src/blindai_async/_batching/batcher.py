"""Joins concurrent predictions of one kind into one request, and splits the answer back.

Over one channel, a request for each row leaves most of the machine idle: the cost of a call is
hundreds of times that of a row. Calls of the same model, with inputs of the same dtypes and row
shapes, are joined along axis 0.

That a model treats the rows of a batch independently can not be seen from outside. What can be seen
is checked: of each kind, calls go alone until one was answered, and a batch's outputs must have
exactly its rows, of the dtypes and row shapes of that answer. A model that refuses batches, or
whose outputs do not fit, is served one by one from then on, and no caller notices.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import TYPE_CHECKING, Protocol

from blindai_async._base_errors import own_instance
from blindai_async._batching.capacity import QueueCapacity
from blindai_async._batching.compatibility import batch_key, join, output_signature
from blindai_async._batching.queue import Batch, BatchQueue, PendingRequest, Watch
from blindai_async._wire.tensor_data import outgoing
from blindai_async.errors import (
    ConnectionClosedError,
    RequestRejectedError,
    TransportError,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from blindai_async._batching.compatibility import BatchKey
    from blindai_async._telemetry.stats import Recorder
    from blindai_async._wire.tensor_data import OutgoingTensor
    from blindai_async.options import Batching
    from blindai_async.proofs.responses import PredictResponse
    from blindai_async.tensors.inputs import InputTensor

__all__ = ["Batcher", "Predictor"]

# Kinds that are remembered while they have no callers; a client that never sends the same shape
# twice must not fill the memory.
_MAX_LANES = 1024


class Predictor(Protocol):
    """Sends one request, whoever's rows are in it."""

    async def __call__(
        self, model_id: str, tensors: Sequence[OutgoingTensor], timeout: float, /
    ) -> PredictResponse:
        """Run the model on the tensors."""
        ...


class Batcher:
    """Gathers calls and sends them in batches.

    Args:
        options: how large, how many, how long.
        send: sends one request.
        recorder: counts batches and waits.

    Attributes:
        room: of the queue. Who finds it full waits there, before its inputs are even converted.
    """

    def __init__(self, options: Batching, send: Predictor, recorder: Recorder) -> None:
        self._options = options
        self._send = send
        self._recorder = recorder
        self._loop = asyncio.get_running_loop()
        self._lanes: OrderedDict[BatchKey, BatchQueue] = OrderedDict()
        # Those with callers waiting, in turn.
        self._ready: OrderedDict[BatchKey, BatchQueue] = OrderedDict()
        self._watch = Watch(self._loop)
        self._arriving = 0  # callers who look whether they are the only one
        self.room = QueueCapacity(options.max_queue)
        self._in_flight = 0
        self._idle = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._pumping: asyncio.Handle | None = None
        self._alarm: asyncio.TimerHandle | None = None  # when the next batch has gathered enough
        self._closed = False

    @property
    def idle(self) -> bool:
        """Whether nothing waits or is under way, and nobody has to wait for company."""
        return not (self._in_flight or self.room.taken or self._options.max_delay)

    async def nobody_else_comes(self) -> bool:
        """Let whoever calls at this same moment have a turn; tell whether that is nobody."""
        self._arriving += 1
        try:
            await asyncio.sleep(0)
            return self._arriving == 1 and self.idle
        finally:
            self._arriving -= 1

    async def send_alone(
        self, model_id: str, inputs: Sequence[InputTensor], timeout: float
    ) -> PredictResponse:
        """Send the rows of a caller who is the only one, in the caller's own task.

        A place in the queue would cost it another task and further turns of the loop.

        Raises:
            BlindAIError: what sending raised.
        """
        tensors = [outgoing(tensor, index) for index, tensor in enumerate(inputs)]
        lane, rows = self._lane_of(model_id, inputs)
        self._in_flight += 1
        try:
            if lane is None:
                return await self._send(model_id, tensors, timeout)
            self._recorder.queue_wait.add(0.0)
            response = await self._request(model_id, tensors, rows, timeout)
        finally:
            self._arrive()
        lane.learn(output_signature(response, rows))
        return response

    def enqueue(
        self, model_id: str, inputs: Sequence[InputTensor], timeout: float
    ) -> PendingRequest | None:
        """Queue a caller's rows for a batch with others'.

        Returns:
            The caller's place: it awaits the ``future`` there, which ends within `timeout` seconds
            with the caller's own rows or an error of its own, and calls `leave` unless it got the
            rows. None where the call can be joined with no other, and the caller has to send it
            itself.

        Raises:
            ConnectionClosedError: the connection was closed while the call was on its way here.
        """
        if self._closed:
            raise _closed()
        lane, rows = self._lane_of(model_id, inputs)
        if lane is None:
            return None
        waiter = PendingRequest(lane, self._loop, inputs, rows, timeout)
        self._watch.add(waiter)
        self.room.taken += 1
        if not lane:
            self._ready[lane.kind] = lane
        lane.add(waiter)
        self._pump_soon()
        return waiter

    def leave(self, waiter: PendingRequest) -> None:
        """Give up a place without a result: rows that were not sent are withdrawn."""
        self._watch.discard(waiter)
        batch, waiter.batch = waiter.batch, None
        if batch is not None:
            batch.leave()
        elif waiter.lane.withdraw(waiter):
            self.room.vacate(1)
            self._note_idle()

    def _lane_of(
        self, model_id: str, inputs: Sequence[InputTensor]
    ) -> tuple[BatchQueue | None, int]:
        """The lane of a call, None where it can be joined with no other, and the call's rows."""
        kind, rows = batch_key(model_id, inputs)
        if kind is None or rows > self._options.max_batch_size:
            return None, rows
        lane = self._lanes.get(kind)
        if lane is None:  # one that is empty is false
            lane = self._new_lane(model_id, kind)
        return (None if lane.alone else lane), rows

    def _new_lane(self, model_id: str, kind: BatchKey) -> BatchQueue:
        if len(self._lanes) >= _MAX_LANES:
            # The oldest that nobody waits in. What it learned is learned again when it is needed.
            idle = next((kind for kind, lane in self._lanes.items() if not lane), None)
            if idle is not None:
                del self._lanes[idle]
        lane = self._lanes[kind] = BatchQueue(model_id, kind)
        return lane

    def _pump_soon(self) -> None:
        """Send what can be sent, once the callers that are about to run have had their turn.

        Those that the last batch has just answered come back in this same turn of the loop.
        """
        if self._pumping is None and not self._closed:
            self._pumping = self._loop.call_soon(self._pump)

    def _pump(self) -> None:
        self._pumping = None
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        now, next_departure = self._loop.time(), float("inf")
        for kind, lane in list(self._ready.items()):
            while lane and self._in_flight < self._options.max_in_flight:
                departure = lane.departure(self._options)
                if departure > now:
                    next_departure = min(next_departure, departure)
                    break
                if not self._depart(lane):
                    break
            if lane:
                self._ready.move_to_end(kind)
            else:
                del self._ready[kind]
        if next_departure < float("inf"):
            self._alarm = self._loop.call_at(next_departure, self._pump)

    def _depart(self, lane: BatchQueue) -> bool:
        batch = lane.take(self._options)
        if not batch.waiters:
            return False  # all of them were cancelled, and are about to withdraw
        self._in_flight += 1
        self.room.vacate(len(batch.waiters))
        now = self._loop.time()
        self._recorder.queue_wait.add_all([now - waiter.queued_at for waiter in batch.waiters])
        self._launch(lane, batch).add_done_callback(lambda _: self._arrive())
        return True

    def _arrive(self) -> None:
        self._in_flight -= 1
        if self._ready:
            self._pump_soon()
        self._note_idle()

    def _note_idle(self) -> None:
        if self.room.deserted and not self._in_flight:
            self._idle.set()

    def _launch(self, lane: BatchQueue, batch: Batch) -> asyncio.Task[None]:
        task = self._loop.create_task(self._carry(lane, batch))
        batch.task = task
        self._tasks.add(task)
        task.add_done_callback(lambda task: self._settle(batch, task))
        return task

    def _settle(self, batch: Batch, task: asyncio.Task[None]) -> None:
        """Whatever ended a batch, none of its callers is left waiting."""
        self._tasks.discard(task)
        batch.task = None
        error = _closed() if task.cancelled() else task.exception()
        if error is not None:
            for waiter in batch.waiters:
                if waiter.batch is batch:
                    waiter.fail(error if len(batch.waiters) == 1 else own_instance(error))

    async def _carry(self, lane: BatchQueue, batch: Batch) -> None:
        """Send a batch and hand out its answer."""
        tensors = join([waiter.inputs for waiter in batch.waiters], batch.rows)
        timeout = batch.remaining(self._loop.time())
        several, expected = len(batch.waiters) > 1, lane.facts
        try:
            response = await self._request(lane.model_id, tensors, batch.rows, timeout)
        except TransportError as error:
            if not several or not _is_refusal(error):
                raise
            if await self._one_by_one(lane, batch):
                lane.alone = True  # each of them is welcome alone: it was the batch
            return
        facts = output_signature(response, batch.rows)
        if not several:
            lane.learn(facts)
            parts = [response]
        elif facts is not None and facts == expected:
            parts = response.split([waiter.rows for waiter in batch.waiters])
        else:
            # Nothing is expected of a model that was uploaded anew while the batch was on its way.
            lane.alone = lane.alone or expected is not None
            await self._one_by_one(lane, batch)
            return
        self._watch.discard_all(batch.waiters)
        for waiter, part in zip(batch.waiters, parts, strict=True):
            waiter.batch = None  # no cycle is left to the garbage collector
            if not waiter.future.done():
                waiter.future.set_result(part)

    async def _request(
        self, model_id: str, tensors: Sequence[OutgoingTensor], rows: int, timeout: float
    ) -> PredictResponse:
        self._recorder.rows += rows
        self._recorder.batch_sizes[rows] += 1
        return await self._send(model_id, tensors, timeout)

    async def _one_by_one(self, lane: BatchQueue, batch: Batch) -> bool:
        """Send each caller's rows on their own; tells whether all of them were answered."""
        waiting = [waiter for waiter in batch.waiters if not waiter.future.done()]
        tasks = [self._launch(lane, Batch([waiter])) for waiter in waiting]
        if tasks:
            await asyncio.wait(tasks)
        return bool(tasks) and all(not t.cancelled() and t.exception() is None for t in tasks)

    def forget(self, model_id: str) -> None:
        """Drop what was learned of a model: another one may have its id now."""
        for lane in self._lanes.values():
            if lane.model_id == model_id:
                lane.forget()

    async def drain(self) -> None:
        """Wait until nobody waits and nothing is under way."""
        self._idle.clear()
        self._note_idle()
        await self._idle.wait()

    async def close(self) -> None:
        """Fail every caller, whether its rows wait or are under way."""
        self._closed = True
        for handle in (self._pumping, self._alarm):
            if handle is not None:
                handle.cancel()
        self._watch.stop()
        self.room.close(_closed)
        for lane in self._ready.values():
            for waiter in lane.waiting():
                waiter.fail(_closed())
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _is_refusal(error: TransportError) -> bool:
    """Tell whether a batch was refused for what is in it: its callers may fare better alone.

    RESOURCE_EXHAUSTED: the answer to all of them was larger than one reply may be.
    """
    return isinstance(error, RequestRejectedError) or error.code == "RESOURCE_EXHAUSTED"


def _closed() -> ConnectionClosedError:
    return ConnectionClosedError("the connection was closed during the call")
