"""Runs the probes of a batcher beside its calls, and acts on what they find."""

from __future__ import annotations

import asyncio
import logging
import warnings
from typing import TYPE_CHECKING

from blindai_async._batching.compatibility import output_signature
from blindai_async._batching.independence import State
from blindai_async._batching.probe_inputs import Block, distinct
from blindai_async._batching.probing import Probe
from blindai_async.errors import BatchingWarning

if TYPE_CHECKING:
    from collections.abc import Container, Sequence

    from blindai_async._batching.predictor import Predictor
    from blindai_async._batching.queue import BatchQueue, PendingRequest
    from blindai_async._batching.verdict import Verdict
    from blindai_async.options import Batching
    from blindai_async.proofs.responses import PredictResponse
    from blindai_async.tensors.inputs import InputTensor

log = logging.getLogger("blindai_async")

_AT_ONCE = 2  # probes under way: they share the channel with the callers


class Prober:
    """Probes kinds of calls as their answers come in.

    Args:
        options: what has to be proven, and how.
        send: sends one request.
        replaced: models that are not probed now, since they are being uploaded.
    """

    def __init__(self, options: Batching, send: Predictor, replaced: Container[str]) -> None:
        self._options = options
        self._send = send
        self._replaced = replaced
        self._loop = asyncio.get_running_loop()
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()
        self._warned: set[str] = set()  # of which models
        self._stopped = False

    def note_alone(
        self,
        queue: BatchQueue,
        inputs: Sequence[InputTensor] | None,
        rows: int,
        response: PredictResponse,
    ) -> None:
        """Learn from an answer to rows that went alone; `inputs` are those to be observed."""
        independence, now = queue.independence, self._loop.time()
        independence.note_answer(output_signature(response, rows), now)
        if independence.state is not State.PROBING:
            return
        if inputs is not None:
            independence.observe(_block(inputs, rows, response))
        if independence.ready(now):
            self._start(queue, independence.observed)

    def audit(self, queue: BatchQueue, requests: Sequence[PendingRequest]) -> None:
        """Probe a kind that is joined, with the callers of a batch that were answered alone."""
        signature = queue.independence.signature
        answers = [(request, request.future.result()) for request in requests]
        blocks = distinct(
            _block(request.inputs, request.rows, response)
            for request, response in answers
            if output_signature(response, request.rows) == signature
        )
        if blocks:
            self._start(queue, blocks)

    def _start(self, queue: BatchQueue, observed: Sequence[Block]) -> None:
        if self._stopped or queue.model_id in self._replaced:
            return
        queue.independence.probing = True
        task = self._loop.create_task(self._probe(queue, list(observed)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _probe(self, queue: BatchQueue, observed: Sequence[Block]) -> None:
        independence, epoch = queue.independence, queue.independence.epoch
        was_joined = independence.joined
        try:
            async with self._slots:
                signature = independence.signature
                if epoch != independence.epoch or signature is None:
                    return
                independence.probes += 1
                probe = Probe(
                    queue.model_id, signature, observed, queue.shared, self._options, self._send
                )
                verdict = await probe.run()
        finally:
            independence.probing = False
        if epoch == independence.epoch:
            independence.conclude(verdict, self._loop.time())
            self._report(queue.model_id, verdict, was_joined=was_joined)

    def _report(self, model_id: str, verdict: Verdict, *, was_joined: bool) -> None:
        if verdict.outcome == "refused":
            log.info("calls of the model %r are not joined: %s", model_id, verdict.why)
        if verdict.outcome != "dependent" or (model_id in self._warned and not was_joined):
            return  # nothing is wrong, or with another kind of a model that was spoken of
        self._warned.add(model_id)
        before = (
            " They were joined until now: answers since the last audit may be wrong."
            if was_joined
            else ""
        )
        text = (
            f"the model {model_id!r} mixes the rows of a batch: {verdict.why}; the largest "
            f"difference is {verdict.difference:.3g}. Its calls go one by one from now on.{before} "
            f'Batching(models={{{model_id!r}: "never"}}) spares it the probes; where the '
            "difference is rounding, a larger rtol= accepts it"
        )
        try:
            warnings.warn(text, BatchingWarning, stacklevel=2)
        except BatchingWarning:
            # A filter made it an error, and there is no caller here who could be given it.
            log.warning("%s", text)

    def forget(self, model_id: str) -> None:
        """Warn of a model again: another one may have its id now."""
        self._warned.discard(model_id)

    def stop(self) -> None:
        """Begin no probe any more, and end those under way."""
        self._stopped = True
        for task in self._tasks:
            task.cancel()

    async def close(self) -> None:
        """Stop, and wait until no probe is under way."""
        self.stop()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _block(inputs: Sequence[InputTensor], rows: int, response: PredictResponse) -> Block:
    return Block(inputs, rows, [tensor.as_numpy() for tensor in response.output])
