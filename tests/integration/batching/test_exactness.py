"""Every caller gets what ONNX Runtime gives to its rows alone, whatever the model does with rows.

`BLINDAI_ASYNC_BATCHED_CALLS` says how many calls are made in all; `nox -s exactness` makes 10^5.
"""

from __future__ import annotations

import asyncio
import os
import warnings

import numpy as np
import onnxruntime as ort
import pytest
import row_models

from blindai_async import Batching
from blindai_async.errors import BatchingWarning

CALLS = int(os.environ.get("BLINDAI_ASYNC_BATCHED_CALLS", "6000"))
CALLERS = 24
MODELS = row_models.INDEPENDENT | row_models.DEPENDENT


class Reference:
    """A model run here, for one caller at a time."""

    def __init__(self, model):
        options = ort.SessionOptions()
        options.log_severity_level = 4
        self._session = ort.InferenceSession(model.onnx, options)
        self._names = [node.name for node in self._session.get_inputs()]

    def __call__(self, inputs):
        return self._session.run(None, dict(zip(self._names, inputs, strict=True)))


def random_inputs(model, generator):
    """Rows of one caller; one caller in twenty sends something that stands out."""
    scale = np.float32(generator.choice([1e4, 1e-3, 0.0]) if generator.random() < 0.05 else 1.0)
    return [generator.standard_normal(s).astype(np.float32) * scale for s in model.shapes]


def check(result, expected):
    assert len(result.output) == len(expected)
    for tensor, wanted in zip(result.output, expected, strict=True):
        got = tensor.as_numpy()
        assert got.shape == wanted.shape
        # Relative to the row: single elements of a sum that cancels out are rounding alone.
        atol = 1e-4 * max(1e-6, float(np.max(np.abs(wanted), initial=0.0)))
        np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=atol)


async def call_often(conn, name, model, calls, *, cancelling=0.02):
    """Let callers predict concurrently, some of whom lose patience, and check every answer."""
    reference = Reference(model)
    left = iter(range(calls))
    done = 0

    async def caller(number):
        nonlocal done
        generator = np.random.default_rng([number, calls])
        for _ in left:
            inputs = random_inputs(model, generator)
            task = asyncio.ensure_future(conn.predict(name, inputs, timeout=60))
            if generator.random() < cancelling:
                await asyncio.sleep(0)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                continue
            check(await task, reference(inputs))
            done += 1

    await asyncio.gather(*(caller(number) for number in range(CALLERS)))
    return done


@pytest.mark.parametrize("name", MODELS)
async def test_no_answer_differs_from_the_callers_own(connect, name):
    conn = await connect(batching=Batching(audit_every=50))
    model = MODELS[name]()
    await conn.upload_model(model.onnx, model_id=name)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BatchingWarning)
        assert await call_often(conn, name, model, CALLS // len(MODELS)) > 0

    found = conn.stats.models.get(name)
    if name in row_models.INDEPENDENT:
        assert found.state == "joined", found
        assert max(conn.stats.batch_sizes) > 1
    else:
        assert found is None or not found.joined, found
        assert set(conn.stats.batch_sizes) <= {1}


async def test_uploads_under_the_same_id_mix_no_versions(connect):
    """Whoever calls meanwhile gets what one of the versions gives to its rows alone."""
    conn = await connect(batching=Batching(audit_every=50))
    versions = [row_models.linear(0), row_models.normalised(), row_models.linear(1)] * 3
    references = [Reference(version) for version in versions]
    await conn.upload_model(versions[0].onnx, model_id="m")
    newest, done, states = 0, 0, []
    share = max(CALLS // 10, 1000)

    async def caller(number):
        nonlocal done
        generator = np.random.default_rng(number)
        while newest < len(versions) - 1 or done < share:
            inputs = random_inputs(versions[0], generator)
            oldest = newest
            result = await conn.predict("m", inputs, timeout=60)
            # An upload that is under way may have taken place already.
            possible = references[oldest : newest + 2]
            check_any(result, [reference(inputs) for reference in possible])
            done += 1

    async def uploader():
        nonlocal newest
        for version in range(1, len(versions)):
            enough = done + share // len(versions)
            while done < enough or conn.stats.models["m"].state == "probing":  # noqa: ASYNC110 - no event tells
                await asyncio.sleep(0.01)
            states.append(conn.stats.models["m"].state)
            await conn.upload_model(versions[version].onnx, model_id="m")
            newest = version

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BatchingWarning)
        await asyncio.gather(uploader(), *(caller(number) for number in range(CALLERS)))

    assert states == ["joined", "alone", "joined"] * 2 + ["joined", "alone"]


def check_any(result, answers):
    """Check that a result is one of several answers."""
    errors = []
    for expected in answers:
        try:
            check(result, expected)
        except AssertionError as error:
            errors.append(error)
        else:
            return
    raise errors[0]
