"""Joins concurrent predictions of one kind into one request, and splits the answer back.

Over one channel, a request for each row leaves most of the machine idle: the cost of a call is
hundreds of times that of a row. Calls of the same model, with inputs of the same dtypes and row
shapes, are joined along axis 0, once a probe has shown that the model's rows are independent of
each other (`probing`). Until then, and where they are not, each call goes alone, in its caller's
own task, as on a connection that does not batch.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from typing import TYPE_CHECKING

from blindai_async._batching.capacity import QueueCapacity
from blindai_async._batching.compatibility import batch_key, output_signature, shared_inputs
from blindai_async._batching.dispatcher import BatchDispatcher
from blindai_async._batching.independence import RowIndependence, State
from blindai_async._batching.probe_inputs import own_copies
from blindai_async._batching.prober import Prober
from blindai_async._batching.queue import BatchQueue, PendingRequest
from blindai_async._batching.replaced_models import ReplacedModels, is_called
from blindai_async._telemetry.stats import ModelBatching
from blindai_async._wire.tensor_data import outgoing

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from blindai_async._batching.compatibility import BatchKey
    from blindai_async._batching.predictor import Predictor
    from blindai_async._telemetry.recorder import Recorder
    from blindai_async.options import Batching
    from blindai_async.proofs.responses import PredictResponse
    from blindai_async.tensors.inputs import InputTensor

# Kinds that are remembered while they have no callers; a client that never sends the same shape
# twice must not fill the memory.
_MAX_QUEUES = 1024
_WITHOUT_BATCH_AXIS = ModelBatching(
    state=State.ALONE.value,
    why="its inputs have no batch axis in common (axis 0 of each, see Batching.shared)",
    alone=1,
)


class Batcher:
    """Answers predictions, several with one request where that changes no answer.

    Args:
        options: how large, how many, how long, and what has to be proven.
        send: sends one request.
        recorder: counts batches and waits.
    """

    def __init__(self, options: Batching, send: Predictor, recorder: Recorder) -> None:
        self._options = options
        self._send = send
        self._recorder = recorder
        recorder.describe_models = self.describe
        self._loop = asyncio.get_running_loop()
        self._queues: OrderedDict[BatchKey | None, BatchQueue] = OrderedDict()
        self._capacity = QueueCapacity(options.max_queue)
        self._replaced = ReplacedModels(self.forget)
        self._prober = Prober(options, send, self._replaced)
        self._dispatcher = BatchDispatcher(
            options, send, self._capacity, recorder, self._prober.audit
        )
        self._shares = self._dispatcher.shares
        self._looking = 0  # callers who look whether they are the only one
        self._declared = frozenset(index for index in options.shared if isinstance(index, int))
        self._shared_names = frozenset(name for name in options.shared if isinstance(name, str))
        self._named: dict[str, frozenset[int]] = {}  # of a model, its shared inputs' positions
        self._unjoinable: set[str] = set()  # models that were called without a common batch axis

    @property
    def obstacle(self) -> str:
        """What keeps calls waiting before they are sent, for an error to name: "" is nothing."""
        return self._capacity.obstacle

    async def predict(
        self, model_id: str, inputs: Sequence[InputTensor], timeout: float
    ) -> PredictResponse:
        """Answer one call with what its rows get alone, whoever else's rows go with them.

        Args:
            model_id: the model.
            inputs: ready for the wire; not to be changed before the call is answered.
            timeout: seconds.

        Raises:
            DeadlineExceededError: no answer, or no place in the queue, within `timeout`.
            ConnectionClosedError: the connection was closed meanwhile.
            BlindAIError: what sending raised.
        """
        key, rows = batch_key(model_id, inputs, self._named.get(model_id, self._declared))
        queue = self._queues.get(key)  # one that is empty is false
        if queue is None and key is not None and rows <= self._options.max_batch_size:
            queue = self._new_queue(model_id, key, inputs)
        if queue is None or rows > self._options.max_batch_size:
            if key is None:
                self._note_unjoinable(model_id)
            tensors = [outgoing(tensor, index) for index, tensor in enumerate(inputs)]
            return await self._send(model_id, tensors, timeout)
        if not queue.independence.joined and not self._has_to_wait(queue):
            return await self._go_alone(queue, inputs, rows, timeout)
        if self._capacity.full:
            started = self._loop.time()
            await self._capacity.wait(timeout)
            timeout -= self._loop.time() - started
        elif self._idle and await self._nobody_else_comes():
            return await self._send_only_one(queue, inputs, rows, timeout)
        request = PendingRequest(queue, self._loop, inputs, rows, timeout)
        self._dispatcher.enqueue(request)
        try:
            return await request.future
        except BaseException:
            self._dispatcher.leave(request)
            raise

    def _note_unjoinable(self, model_id: str) -> None:
        if len(self._unjoinable) < _MAX_QUEUES:
            self._unjoinable.add(model_id)

    def _new_queue(self, model_id: str, key: BatchKey, inputs: Sequence[InputTensor]) -> BatchQueue:
        if len(self._queues) >= _MAX_QUEUES:
            # The oldest that nobody is in. What it learned is learned again when it is needed.
            idle = next((key for key, old in self._queues.items() if old.unused), None)
            if idle is not None:
                del self._queues[idle]
        mode = self._options.models.get(model_id, self._options.independence)
        shared = shared_inputs(inputs, self._named.get(model_id, self._declared))
        queue = BatchQueue(model_id, key, shared, RowIndependence(mode, self._options))
        row = sum(
            tensor.array.nbytes // tensor.shape[0]
            for index, tensor in enumerate(inputs)
            if index not in shared
        )
        if 2 * row > self._options.max_batch_bytes:
            queue.independence.rule_out("two of its rows are larger than max_batch_bytes")
        self._queues[key] = queue
        return queue

    def _has_to_wait(self, queue: BatchQueue) -> bool:
        """Whether a call waits although its kind is not joined: until it is, perhaps.

        Of thousands of calls that come at once, only some have to go before a probe has passed.
        """
        independence = queue.independence
        if not independence.soon_decided(self._loop.time()):
            return False
        return bool(queue) or queue.in_flight + queue.going_alone >= independence.most_alone

    @property
    def _idle(self) -> bool:
        """Whether nothing waits or is under way, and nobody has to wait for company."""
        return not (self._shares.in_flight or self._capacity.taken or self._options.max_delay)

    async def _nobody_else_comes(self) -> bool:
        """Let whoever calls at this same moment have a turn; tell whether that is nobody."""
        self._looking += 1
        try:
            await asyncio.sleep(0)
            return self._looking == 1 and self._idle
        finally:
            self._looking -= 1

    async def _send_only_one(
        self, queue: BatchQueue, inputs: Sequence[InputTensor], rows: int, timeout: float
    ) -> PredictResponse:
        """Send the rows of a caller who is the only one, in the caller's own task.

        A place in the queue would cost it another task and further turns of the loop.
        """
        tensors = [outgoing(tensor, index) for index, tensor in enumerate(inputs)]
        epoch = queue.independence.epoch
        self._dispatcher.begin_call(queue, 1, 1)
        try:
            self._recorder.queue_wait.add(0.0)
            response = await self._dispatcher.request(queue.model_id, tensors, rows, timeout)
        finally:
            self._dispatcher.end_call(queue, 1, 1)
        if epoch == queue.independence.epoch:
            queue.independence.note_answer(output_signature(response, rows), self._loop.time())
        return response

    async def _go_alone(
        self, queue: BatchQueue, inputs: Sequence[InputTensor], rows: int, timeout: float
    ) -> PredictResponse:
        """Send the rows of a kind that is not joined, and note the answer for a probe."""
        independence = queue.independence
        observed = queue.model_id not in self._replaced and independence.wants_observation(
            self._loop.time(), company=bool(queue.going_alone)
        )
        epoch = independence.epoch
        if observed:
            inputs = own_copies(inputs)
            independence.observing += 1
        tensors = [outgoing(tensor, index) for index, tensor in enumerate(inputs)]
        self._shares.begin_alone(queue)
        response = None
        try:
            if independence.state is State.ALONE:
                response = await self._send(queue.model_id, tensors, timeout)
            else:
                self._recorder.queue_wait.add(0.0)
                response = await self._dispatcher.request(queue.model_id, tensors, rows, timeout)
        finally:
            self._shares.end_alone(queue)
            self._dispatcher.wake()
            if epoch == independence.epoch:
                if observed:
                    independence.observing -= 1
                if response is not None:
                    self._prober.note_alone(queue, inputs if observed else None, rows, response)
        return response

    def replacing(self, model_id: str) -> AbstractContextManager[None]:
        """Join no calls of a model while it is being uploaded, and probe it anew afterwards."""
        return self._replaced.replacing(model_id)

    def forget(self, model_id: str) -> None:
        """Drop what was learned of a model: another one may have its id now."""
        self._prober.forget(model_id)
        for queue in self._queues.values():
            if is_called(queue.model_id, model_id):
                queue.independence.forget()

    def name_inputs(self, model_id: str, names: Sequence[str]) -> None:
        """Learn the names of a model's inputs, in order, which `Batching.shared` may speak of."""
        named = {index for index, name in enumerate(names) if name in self._shared_names}
        if named:
            self._named[model_id] = self._declared | named
        else:
            self._named.pop(model_id, None)

    def describe(self) -> dict[str, ModelBatching]:
        """Tell of each model whether its calls are joined, and why not."""
        kinds: dict[str, list[RowIndependence]] = {}
        for queue in self._queues.values():
            kinds.setdefault(queue.model_id, []).append(queue.independence)
        alone = dict.fromkeys(self._unjoinable, _WITHOUT_BATCH_AXIS)
        return alone | {model_id: _describe(each) for model_id, each in kinds.items()}

    async def drain(self) -> None:
        """Wait until nobody waits and nothing is under way. Probes are not waited for."""
        self._prober.stop()
        await self._dispatcher.drain()

    async def close(self) -> None:
        """Fail every caller, whether its rows wait or are under way."""
        await self._prober.close()
        await self._dispatcher.close()


def _describe(kinds: Sequence[RowIndependence]) -> ModelBatching:
    counts = Counter(kind.state for kind in kinds)
    state = next(state for state in (State.JOINED, State.PROBING, State.ALONE) if counts[state])
    return ModelBatching(
        state=state.value,
        why=kinds[-1].why,
        joined=counts[State.JOINED],
        probing=counts[State.PROBING],
        alone=counts[State.ALONE],
        probes=sum(kind.probes for kind in kinds),
        largest_difference=max(kind.difference for kind in kinds),
        max_rows=max((kind.limit for kind in kinds if kind.joined), default=0),
    )
