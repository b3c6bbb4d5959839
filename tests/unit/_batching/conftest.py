"""A batcher in front of ONNX Runtime, without a network."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import numpy as np
import pytest
from local_predictor import LocalPredictor

from blindai_async._batching.batcher import Batcher
from blindai_async._telemetry.recorder import Recorder
from blindai_async.options import Batching
from blindai_async.tensors.inputs import translate_tensors


class Calls:
    """Calls of one model through a batcher.

    Attributes:
        predictor: answers the requests.
        batcher: is tested.
    """

    def __init__(self, model, options):
        self.shapes = model.shapes
        self.predictor = LocalPredictor(model.onnx)
        self.recorder = Recorder()
        self.batcher = Batcher(options, self.predictor, self.recorder)
        self._generator = np.random.default_rng(0)

    @property
    def state(self):
        return self.batcher.describe()["m"]

    def inputs(self):
        return [self._generator.standard_normal(s).astype(np.float32) for s in self.shapes]

    async def __call__(self, count, *, timeout=30.0):
        """Make so many calls at once; returns the inputs and the results of each."""
        inputs = [self.inputs() for _ in range(count)]
        calls = (self.batcher.predict("m", translate_tensors(i), timeout) for i in inputs)
        return inputs, await asyncio.gather(*calls)

    async def until(self, state, *, seconds=20.0):
        """Call until the model is in a state."""
        async with asyncio.timeout(seconds):
            while self.batcher.describe().get("m") is None or self.state.state != state:
                await self(4)
        self.predictor.rows.clear()


@pytest.fixture
async def calls():
    """Makes `Calls` of a model, with options of `Batching`."""
    async with AsyncExitStack() as opened:

        def make(model, **options):
            made = Calls(model, Batching(**options))
            opened.push_async_callback(made.batcher.close)
            return made

        yield make
