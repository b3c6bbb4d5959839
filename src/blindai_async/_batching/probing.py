"""Probes one kind of calls: do rows get in a batch what they get alone?

Four trials, from the gentlest to the harshest, so that a model that takes no batches is asked for
little. A dependence hides from a single one: what a batch has in common (a quantisation's scale, a
mean, a threshold) is moved by outliers; attention that looks at nothing but a large row itself
looks around from a small one; a running sum shows behind the first row only; and some models change
their way at a certain number of rows.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from anyio import to_thread

from blindai_async._batching.comparison import Tolerance, largest_difference, typical_magnitudes
from blindai_async._batching.compatibility import join, output_signature
from blindai_async._batching.probe_inputs import (
    Block,
    distinct,
    gentle_variants,
    outlier,
    repeated,
)
from blindai_async._batching.verdict import Verdict
from blindai_async.errors import BlindAIError, RequestRejectedError, TransportError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from blindai_async._batching.compatibility import OutputSignature
    from blindai_async._batching.predictor import Predictor
    from blindai_async.options import Batching

_REQUEST_SECONDS = 15.0  # a full batch that takes longer is tried at half the size
_PROBE_SECONDS = 60.0
_REPLY_BYTES = 32 << 20  # of one trial
# Of the shares of the tolerance: in two batches of the same size, the same rows at the same places
# are calculated in the same way. What differs then is due to the neighbours.
_BETWEEN_BATCHES = 0.1
# Answers without a fraction (labels, ranks) show little each: more of them have to agree.
_ENOUGH = 2
_ENOUGH_DISCRETE = 8
_VARIANTS = 4
_VARIANTS_DISCRETE = 12


class _DependenceError(Exception):
    """A trial's answer is not what the rows got alone."""


class _ShapeError(Exception):
    """The outputs' shapes are not those that joined rows have."""


class Probe:
    """One probe, over some callers' rows and the answers that these got alone.

    Args:
        model_id: the model.
        signature: of the outputs alone.
        observed: the callers' rows, with their answers; the first one at least.
        shared: positions of the inputs that all rows have in common.
        options: sizes, tolerances, what a probe may hold.
        send: sends one request.
    """

    def __init__(
        self,
        model_id: str,
        signature: OutputSignature,
        observed: Sequence[Block],
        shared: frozenset[int],
        options: Batching,
        send: Predictor,
    ) -> None:
        self._model_id = model_id
        self._signature = signature
        self._observed = observed
        self._shared = shared
        self._options = options
        self._send = send
        self._tolerance = Tolerance.of(options)
        self._generator = np.random.default_rng()
        self._typical: list[npt.NDArray[np.float64]] = []
        self._difference = 0.0

    async def run(self) -> Verdict:
        """Make the trials, and judge. Never raises an error of the model's or the server's."""
        try:
            async with asyncio.timeout(_PROBE_SECONDS):
                return await self._run()
        except (_DependenceError, _ShapeError) as error:
            if await self._answers_have_changed():
                return Verdict("changed", "its answers to the same rows alone have changed")
            outcome: Literal["dependent", "refused"] = (
                "dependent" if isinstance(error, _DependenceError) else "refused"
            )
            return Verdict(outcome, str(error), difference=self._difference)
        except TimeoutError:
            return Verdict("unknown", "the probe took too long")
        except BlindAIError as error:
            return Verdict("unknown", f"the probe failed: {error}")

    async def _run(self) -> Verdict:
        most = self._most_rows()
        few = list(self._observed)
        if len(few) == 1:
            few *= 2
        few = _fitting(few, most)
        if len(few) < 2:
            return Verdict("unknown", "no two calls of this kind fit into one batch")
        variants: list[Block] = []
        if self._options.probe_values == "derived":
            variants = await self._ask_for_variants()
        known = [*self._observed, *(block for block in variants if block.factor == 1.0)]
        answers = [block.answer for block in known if block.answer is not None]
        self._typical = await to_thread.run_sync(typical_magnitudes, answers)
        try:
            await self._try(few)
        except RequestRejectedError as error:
            return Verdict("refused", f"the model takes no batches: {error}")
        targets = list(self._observed)
        if await self._try_variants(variants, most):
            targets += variants
        rows = await self._try_full(targets, most, sum(block.rows for block in few))
        return await to_thread.run_sync(self._judge, targets, rows)

    def _most_rows(self) -> int:
        """The rows of the largest batch that this probe may send."""
        most = self._options.max_batch_size
        row = sum(
            tensor.array.nbytes
            for index, tensor in enumerate(self._observed[0].inputs)
            if index not in self._shared
        )
        answer = sum(output.nbytes for output in self._observed[0].answer or ())
        per_row = self._observed[0].rows
        if row:
            most = min(most, self._options.max_batch_bytes * per_row // row)
        if answer:
            most = min(most, _REPLY_BYTES * per_row // answer)
        return most

    async def _try(self, blocks: Sequence[Block]) -> list[list[npt.NDArray[Any]]]:
        """Send blocks in one request, and compare those whose answers alone are known.

        Returns:
            Of each block, its outputs.

        Raises:
            _DependenceError: they differ.
            _ShapeError: the outputs do not have the batch's rows.
            TransportError: the request failed.
        """
        rows = sum(block.rows for block in blocks)
        tensors = join([block.inputs for block in blocks], rows, self._shared)
        response = await self._send(self._model_id, tensors, _REQUEST_SECONDS)
        if output_signature(response, rows) != self._signature:
            raise _ShapeError("the outputs of a batch do not have its rows")
        ends = np.cumsum([block.rows for block in blocks])[:-1]

        def split_and_compare() -> list[list[npt.NDArray[Any]]]:
            outputs = [np.split(tensor.as_numpy(), ends) for tensor in response.output]
            parts = [list(part) for part in zip(*outputs, strict=True)]
            for block, part in zip(blocks, parts, strict=True):
                if block.answer is not None:
                    self._compare(part, block.answer, self._tolerance, block.factor)
            return parts

        return await to_thread.run_sync(split_and_compare)

    def _compare(
        self,
        got: Sequence[npt.NDArray[Any]],
        wanted: Sequence[npt.NDArray[Any]],
        tolerance: Tolerance,
        factor: float,
    ) -> None:
        difference, too_large = largest_difference(got, wanted, tolerance, self._typical, factor)
        self._difference = max(self._difference, difference)
        if too_large:
            raise _DependenceError(
                f"rows got another answer beside others than alone (by {difference:.2g} of it)"
            )

    async def _try_full(self, targets: Sequence[Block], most: int, proven: int) -> int:
        """Fill batches, with rows whose answers are known and with outliers beside them.

        Returns:
            The rows of the largest batch that passed.
        """
        rows = most
        while rows > proven:
            blocks = repeated(targets, rows, self._generator)
            try:
                plain = await self._try(blocks)
            except TransportError as error:
                if not _may_be_too_large(error):
                    raise
                rows //= 2
                continue
            proven = max(proven, sum(block.rows for block in blocks))
            break
        else:
            blocks = repeated(targets, proven, self._generator)
            plain = await self._try(blocks)
        if self._options.probe_values == "derived":
            for parity in (0, 1):
                await self._try_outliers(blocks, plain, parity)
        return proven

    async def _try_outliers(
        self, blocks: Sequence[Block], plain: Sequence[Sequence[npt.NDArray[Any]]], parity: int
    ) -> None:
        """Put outliers in the place of every second block: the others must not notice."""
        mixed = [
            outlier(block, index // 2 + 2 * parity, self._shared) if index % 2 == parity else block
            for index, block in enumerate(blocks)
        ]
        try:
            parts = await self._try(mixed)
        except RequestRejectedError:
            return  # a value that the model does not take says nothing about its rows

        def compare() -> None:
            tolerance = self._tolerance._replace(share=_BETWEEN_BATCHES)
            for block, got, before in zip(mixed, parts, plain, strict=True):
                if block.answer is not None:
                    self._compare(got, before, tolerance, block.factor)

        await to_thread.run_sync(compare)

    async def _ask_for_variants(self) -> list[Block]:
        """Ask for the answers alone of rows near the callers' own."""
        count = _VARIANTS_DISCRETE if self._discrete else _VARIANTS
        variants = gentle_variants(self._observed, count, self._shared, self._generator)
        asked = await asyncio.gather(*(self._alone(block) for block in variants))
        return [block for block in asked if block is not None]

    async def _try_variants(self, variants: Sequence[Block], most: int) -> bool:
        """Put the variants into one batch; tells whether the model took it."""
        if not variants:
            return False
        try:
            await self._try(_fitting([*variants, *self._observed], most))
        except RequestRejectedError:
            return False
        return True

    async def _alone(self, block: Block) -> Block | None:
        """Ask for the answer of rows alone; None where the model does not take them."""
        tensors = join([block.inputs], block.rows, self._shared)
        try:
            response = await self._send(self._model_id, tensors, _REQUEST_SECONDS)
        except RequestRejectedError:
            return None
        if output_signature(response, block.rows) != self._signature:
            raise _ShapeError("the outputs' shapes depend on the rows' values")
        return block._replace(answer=[tensor.as_numpy() for tensor in response.output])

    async def _answers_have_changed(self) -> bool:
        """Ask once more alone: the model may have been replaced since, or answer at random."""
        block = self._observed[0]
        try:
            again = await self._alone(block)
        except (_ShapeError, BlindAIError):
            return True
        if again is None or again.answer is None or block.answer is None:
            return True
        return any(
            not np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
            for one, other in zip(again.answer, block.answer, strict=True)
        )

    @property
    def _discrete(self) -> bool:
        answer = self._observed[0].answer or ()
        return not any(output.dtype.kind == "f" for output in answer)

    def _judge(self, targets: Sequence[Block], rows: int) -> Verdict:
        """All trials passed: tell whether they could have shown a dependence at all."""
        enough = _ENOUGH_DISCRETE if self._discrete else _ENOUGH
        if len(distinct(targets)) < enough:
            return Verdict("unknown", "the calls so far are too much alike to show anything")
        answers = {b"".join(output.tobytes() for output in b.answer or ()) for b in targets}
        if len(answers) < 2:
            return Verdict("unknown", "the answers so far are all the same and show nothing")
        return Verdict("independent", rows=rows, difference=self._difference)


def _fitting(blocks: Sequence[Block], rows: int) -> list[Block]:
    """The blocks that fit into so many rows, in order."""
    fitting = []
    for block in blocks:
        if block.rows <= rows:
            fitting.append(block)
            rows -= block.rows
    return fitting


def _may_be_too_large(error: TransportError) -> bool:
    codes = ("RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED")
    return isinstance(error, RequestRejectedError) or error.code in codes
