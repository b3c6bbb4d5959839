"""A probe tells independent rows from dependent ones, whatever the callers' rows are like."""

from __future__ import annotations

import numpy as np
import pytest
import row_models
from local_predictor import LocalPredictor

from blindai_async._batching.compatibility import join, output_signature
from blindai_async._batching.probe_inputs import Block
from blindai_async._batching.probing import Probe
from blindai_async.options import Batching
from blindai_async.tensors.inputs import translate_tensors

ROWS = {
    "ordinary": lambda g, shape: g.standard_normal(shape),
    "positive": lambda g, shape: g.random(shape),
    "tiny": lambda g, shape: g.standard_normal(shape) * 1e-3,
    "large": lambda g, shape: g.standard_normal(shape) * 1e3,
    "one-hot": lambda g, shape: np.eye(int(np.prod(shape)))[g.integers(np.prod(shape))].reshape(
        shape
    ),
    "all the same": lambda g, shape: np.full(shape, 0.7),
    "alike but for one": lambda g, shape: np.arange(np.prod(shape)).reshape(shape) / 10,
}


async def probed(model, callers, make, options=None, seed=0, predictor=None):
    """The verdict of one probe over some callers' rows, and the predictor that answered it."""
    options = options or Batching()
    generator = np.random.default_rng(seed)
    predictor = predictor or LocalPredictor(model.onnx)
    blocks = []
    for _ in range(callers):
        arrays = [make(generator, shape).astype(np.float32) for shape in model.shapes]
        inputs = translate_tensors(arrays)
        rows = inputs[0].shape[0]
        response = await predictor("m", join([inputs], rows), 1.0)
        signature = output_signature(response, rows)
        blocks.append(Block(inputs, rows, [t.as_numpy() for t in response.output]))
    predictor.rows.clear()
    verdict = await Probe("m", signature, blocks, frozenset(), options, predictor).run()
    return verdict, predictor


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("callers", [1, 2, 8])
@pytest.mark.parametrize("name", row_models.INDEPENDENT)
async def test_independent_rows_pass(name, callers, rows):
    verdict, _ = await probed(row_models.INDEPENDENT[name](), callers, ROWS[rows])

    assert verdict.outcome == "independent", verdict
    assert verdict.rows == 64
    assert verdict.difference < 1e-3


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("callers", [1, 2, 8])
@pytest.mark.parametrize("name", set(row_models.DEPENDENT) - {"with_state"})
async def test_dependent_rows_do_not(name, callers, rows):
    verdict, _ = await probed(row_models.DEPENDENT[name](), callers, ROWS[rows])

    assert verdict.outcome != "independent", verdict
