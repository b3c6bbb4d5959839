"""One prediction: its inputs converted, joined with others or sent alone, its answer named."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from blindai_async._batching.batcher import Batcher
from blindai_async._transport.deadline import Deadline
from blindai_async._transport.threads import Purpose, run_in_thread
from blindai_async._wire.tensor_data import outgoing
from blindai_async.errors import DeadlineExceededError
from blindai_async.tensors.inputs import conversion_is_costly, translate_tensors
from blindai_async.tensors.named import in_order

if TYPE_CHECKING:
    from collections.abc import Sequence

    from blindai_async._client.model_names import ModelNames
    from blindai_async._client.retrying import RetryingCaller
    from blindai_async._client.session_manager import SessionManager
    from blindai_async._telemetry.recorder import Recorder
    from blindai_async._wire.tensor_data import OutgoingTensor
    from blindai_async.options import Batching
    from blindai_async.proofs.responses import PredictResponse
    from blindai_async.tensors.inputs import InputTensor


class Predictions:
    """Makes a connection's predictions.

    Args:
        manager: hands out the session.
        caller: sends requests over it.
        names: of models' inputs and outputs.
        recorder: counts.
        patience: seconds for which the connection's calls wait for a link that is down.
    """

    def __init__(
        self,
        manager: SessionManager,
        caller: RetryingCaller,
        names: ModelNames,
        recorder: Recorder,
        patience: float,
    ) -> None:
        self.batcher: Batcher | None = None
        self._manager = manager
        self._caller = caller
        self._names = names
        self._recorder = recorder
        self._patience = patience

    def join_calls(self, batching: Batching) -> None:
        """Join concurrent calls from now on. To be called inside the running loop."""
        if self.batcher is None:
            self.batcher = Batcher(batching, self._send_batch, self._recorder)

    async def predict(
        self,
        model_id: str,
        tensors: Any,
        dtype: Any,
        shape: Any,
        *,
        sign: bool,
        batch: bool,
        deadline: Deadline,
        patience: float,
    ) -> PredictResponse:
        """See `InferenceClient.predict`.

        Raises:
            TensorError: an input has no place on the wire; nothing was sent.
            BlindAIError: what sending raised.
        """
        started = time.perf_counter()
        self._recorder.calls += 1
        batcher = self.batcher if batch and not sign and patience == self._patience else None
        names: Sequence[str] = ()
        try:
            if type(tensors) is not np.ndarray and isinstance(tensors, Mapping):
                names = self._names.order(model_id, tensors)
                tensors, dtype, shape = in_order(tensors, dtype, shape, names)
                if not self._names.knows_inputs(model_id):
                    batcher = None  # only the server can put them in order
            if conversion_is_costly(tensors):
                inputs = await self._converted(deadline, tensors, dtype, shape)
            else:
                inputs = translate_tensors(tensors, dtype, shape)
            if batcher is not None:
                response = await self._predict_joined(batcher, model_id, inputs, deadline)
            else:
                wire = [
                    outgoing(tensor, index, names[index] if names else "")
                    for index, tensor in enumerate(inputs)
                ]
                response = await self._send(model_id, wire, deadline, patience, sign=sign)
        except BaseException:
            self._recorder.failures += 1
            raise
        self._recorder.latency.add(time.perf_counter() - started)
        self._names.name_outputs(model_id, response)
        return response

    async def _converted(
        self, deadline: Deadline, tensors: Any, dtype: Any, shape: Any
    ) -> list[InputTensor]:
        """Convert inputs in a thread, for no longer than the call has time, or the connection."""
        with self._caller.calls.scope():
            async with deadline.timeout():
                return await run_in_thread(
                    Purpose.CONVERT, translate_tensors, tensors, dtype, shape
                )

    async def _predict_joined(
        self, batcher: Batcher, model_id: str, inputs: list[InputTensor], deadline: Deadline
    ) -> PredictResponse:
        if self._patience < float("inf"):  # whoever does not wait need not queue, either
            await self._manager.session(deadline, self._patience)
        try:
            return await batcher.predict(model_id, inputs, deadline.remaining())
        except DeadlineExceededError as error:
            if deadline.left() > 0:
                raise
            deadline.outage = str(self._manager.link.outage or batcher.obstacle)
            raise deadline.exceeded() from error

    async def _send_batch(
        self, model_id: str, tensors: Sequence[OutgoingTensor], timeout: float
    ) -> PredictResponse:
        deadline = Deadline(timeout, "predict")
        return await self._send(model_id, tensors, deadline, self._patience, sign=False)

    async def _send(
        self,
        model_id: str,
        tensors: Sequence[OutgoingTensor],
        deadline: Deadline,
        patience: float,
        *,
        sign: bool,
    ) -> PredictResponse:
        return await self._caller.run(
            lambda session, left: session.predict(model_id, tensors, sign=sign, timeout=left),
            deadline,
            patience,
        )
