"""What the batcher learns of a model, and how it forgets: every answer is right meanwhile."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
import row_models

from blindai_async.errors import BatchingWarning, TransportError
from blindai_async.server.inference.onnx_runtime import Model
from blindai_async.tensors.inputs import translate_tensors

LINEAR = row_models.linear()
WEIGHTS = row_models._weights(16, 4)


def check_linear(inputs, results, weights=WEIGHTS):
    for (x,), result in zip(inputs, results, strict=True):
        assert np.allclose(result.output[0].as_numpy(), x @ weights, rtol=1e-4, atol=1e-5)


async def test_a_kind_that_passed_is_joined(calls):
    linear = calls(LINEAR)
    await linear.until("joined")

    check_linear(*await linear(64))

    assert linear.predictor.rows == [64]
    assert linear.state.why == ""
    assert linear.state.max_rows == 64


async def test_calls_that_come_one_by_one_are_not_probed(calls):
    linear = calls(LINEAR)
    for _ in range(20):
        await linear(1)

    assert linear.predictor.rows == [1] * 20
    assert linear.state.state == "probing"
    assert "same time" in linear.state.why


async def test_a_dependent_kind_goes_alone_with_a_warning_that_says_so(calls):
    cumsum = calls(row_models.cumsum())
    with pytest.warns(BatchingWarning, match="the model 'm' mixes the rows") as caught:
        await cumsum.until("alone")

    assert "largest difference" in str(caught[0].message)
    assert '"never"' in str(caught[0].message)
    assert cumsum.state.largest_difference > 1e-3
    await cumsum(10)
    assert cumsum.predictor.rows == [1] * 10


async def test_a_warning_that_is_made_an_error_fails_no_call(calls):
    cumsum = calls(row_models.cumsum())  # the test suite makes errors of warnings

    await cumsum.until("alone")

    await cumsum(5)


async def test_assume_joins_what_was_not_proven(calls):
    linear = calls(LINEAR, independence="assume")
    await linear(1)
    linear.predictor.rows.clear()

    check_linear(*await linear(10))

    assert linear.predictor.rows == [10]


@pytest.mark.parametrize("options", [{"independence": "never"}, {"models": {"m": "never"}}])
async def test_never_joins_nothing_and_says_so(calls, options):
    linear = calls(LINEAR, **options)

    await linear(20)

    assert linear.predictor.rows == [1] * 20
    assert (linear.state.state, linear.state.probes) == ("alone", 0)
    assert "never" in linear.state.why


async def test_a_mapping_decides_for_single_models(calls):
    linear = calls(LINEAR, independence="never", models={"m": "probe"})

    await linear.until("joined")


async def test_observed_values_only_where_no_other_may_be_sent(calls):
    linear = calls(LINEAR, probe_values="observed")
    seen = set()
    send = linear.predictor.__call__

    async def spy(model_id, tensors, timeout):
        for tensor in tensors:
            data = b"".join(tensor.buffers)
            seen.update(data[i : i + 64] for i in range(0, len(data), 64))
        return await send(model_id, tensors, timeout)

    linear.batcher._prober._send = spy
    sent = set()
    make = linear.inputs

    def inputs():
        made = make()
        sent.add(made[0].tobytes())
        return made

    linear.inputs = inputs
    await linear.until("joined")

    assert seen
    assert seen <= sent


async def test_equal_rows_prove_nothing_where_no_other_may_be_sent(calls):
    linear = calls(LINEAR, probe_values="observed")
    row = linear.inputs()
    linear.inputs = lambda: row

    for _ in range(10):
        await linear(10)
        await asyncio.sleep(0.01)

    assert linear.state.state == "probing"
    assert "too much alike" in linear.state.why


async def test_an_audit_finds_a_model_that_has_become_dependent(calls):
    linear = calls(row_models.threshold(1e30), audit_every=3)
    await linear.until("joined")
    linear.predictor.model = Model(row_models.cumsum().onnx)  # by another client

    with pytest.warns(BatchingWarning, match="answers since the last audit may be wrong"):
        await linear.until("alone")


async def test_the_callers_of_an_audited_batch_get_their_own_answers(calls):
    model = calls(row_models.threshold(1e30), audit_every=1)  # every batch is audited
    await model.until("joined")
    await asyncio.gather(*model.batcher._prober._tasks)  # but for those beside another audit
    model.predictor.model = Model(row_models.cumsum().onnx)

    inputs, results = await model(8)

    for (x,), result in zip(inputs, results, strict=True):
        assert result.output[0].as_numpy().tobytes() == x.tobytes()


async def test_an_audit_that_passes_changes_nothing(calls):
    linear = calls(LINEAR, audit_every=2)
    await linear.until("joined")
    before = linear.state.probes

    for _ in range(30):
        check_linear(*await linear(16))
        await asyncio.sleep(0.01)

    assert linear.state.state == "joined"
    assert linear.state.probes > before


async def test_another_version_with_other_outputs_is_probed_anew(calls):
    linear = calls(LINEAR)
    await linear.until("joined")
    wider = row_models.RowModel(
        row_models._model(
            [row_models._node("MatMul", "x w", "y")],
            {"x": ["n", 16]},
            {"y": ["n", 7]},
            {"w": row_models._weights(16, 7)},
        ),
        LINEAR.shapes,
    )
    linear.predictor.model = Model(wider.onnx)

    check_linear(*await linear(20), row_models._weights(16, 7))
    await linear.until("joined")


async def test_while_a_model_is_uploaded_nothing_is_joined(calls):
    linear = calls(LINEAR)
    await linear.until("joined")

    with linear.batcher.replacing("m"):
        for _ in range(5):
            await linear(10)
        assert set(linear.predictor.rows) == {1}
    await linear.until("joined")


async def test_an_answer_that_an_upload_overtook_is_not_used(calls):
    linear = calls(LINEAR)
    await linear.until("joined")

    linear.predictor.held = asyncio.Event()
    task = asyncio.ensure_future(linear(20))
    await linear.predictor.answered.wait()
    with linear.batcher.replacing("m"):
        linear.predictor.held.set()
    check_linear(*await task)

    assert sorted(linear.predictor.rows) == [1] * 20 + [20]


async def test_a_server_with_too_much_to_do_is_not_the_batchs_fault(calls):
    linear = calls(LINEAR)
    await linear.until("joined")
    linear.predictor.batch_errors = [
        TransportError("busy", code="RESOURCE_EXHAUSTED", details="too many unfinished requests")
    ]

    check_linear(*await linear(64))
    assert linear.predictor.rows == [64, 32, 32]
    linear.predictor.rows.clear()
    await linear(64)

    assert linear.predictor.rows == [64]


async def test_a_batch_that_is_too_large_is_halved_and_grows_again(calls):
    linear = calls(LINEAR, audit_every=10**6)
    await linear.until("joined")
    linear.predictor.most_rows = 40

    check_linear(*await linear(64))
    assert linear.state.state == "joined"
    assert 32 <= linear.state.max_rows <= 40
    linear.predictor.most_rows = None
    for _ in range(20):
        await linear(64)

    assert linear.state.max_rows == 64


async def test_a_full_batch_that_a_probe_may_not_send_limits_the_batches(calls):
    linear = calls(LINEAR)
    linear.predictor.most_rows = 20

    await linear.until("joined")
    check_linear(*await linear(64))

    assert linear.state.max_rows == 16
    assert max(linear.predictor.rows) == 16


async def test_a_model_that_takes_no_batches_is_reconsidered(calls):
    fixed = row_models._model(
        [row_models._node("MatMul", "x w", "y")], {"x": [1, 16]}, {"y": [1, 4]}, {"w": WEIGHTS}
    )
    linear = calls(row_models.RowModel(fixed, LINEAR.shapes))
    await linear.until("alone")
    assert "takes no batches" in linear.state.why
    linear.predictor.model = Model(LINEAR.onnx)  # by another client

    await linear.until("joined")


async def test_a_random_model_is_never_joined(calls):
    noise = calls(row_models.random())
    for _ in range(20):
        await noise(10)
        await asyncio.sleep(0.01)

    assert noise.state.joined == 0
    assert set(noise.recorder.batch_sizes) <= {1}


async def test_of_thousands_at_once_not_all_go_alone(calls):
    linear = calls(LINEAR)

    check_linear(*await linear(3000))

    assert linear.recorder.batch_sizes[1] < 3000
    assert max(linear.recorder.batch_sizes) == 64


async def test_scalars_are_shared_by_callers_who_send_the_same(calls):
    nodes = [row_models._node("Mul", "x rate", "y")]
    onnx = row_models._model(nodes, {"x": ["n", 4], "rate": []}, {"y": ["n", 4]})
    scaled = calls(row_models.RowModel(onnx, ((1, 4), ())), shared=())
    rate = 16.0
    make = scaled.inputs
    scaled.inputs = lambda: [make()[0], np.array(rate, np.float32)]
    await scaled.until("joined")

    inputs, results = await scaled(10)
    assert scaled.predictor.rows == [10]
    for (x, _), result in zip(inputs, results, strict=True):
        assert np.array_equal(result.output[0].as_numpy(), x * np.float32(16))
    both = [translate_tensors([make()[0], np.array(r, np.float32)]) for r in (2, 3)]
    found = await asyncio.gather(*(scaled.batcher.predict("m", i, 5.0) for i in both))
    for (x, r), result in zip(both, found, strict=True):
        assert np.array_equal(result.output[0].as_numpy(), x.array * r.array)


@pytest.mark.parametrize("shared", ["table", 1])
async def test_declared_inputs_are_sent_once(calls, shared):
    nodes = [row_models._node("MatMul", "x table", "y")]
    onnx = row_models._model(nodes, {"x": ["n", 4], "table": [4, 3]}, {"y": ["n", 3]})
    model = calls(row_models.RowModel(onnx, ((1, 4), (4, 3))), shared=(shared,))
    model.batcher.name_inputs("m", ["x", "table"])
    table = row_models._weights(4, 3)
    make = model.inputs
    model.inputs = lambda: [make()[0], table]
    await model.until("joined")

    inputs, results = await model(10)

    assert model.predictor.rows == [10]
    for (x, _), result in zip(inputs, results, strict=True):
        assert np.allclose(result.output[0].as_numpy(), x @ table, rtol=1e-4, atol=1e-6)


async def test_inputs_without_a_common_axis_are_told(calls):
    model = calls(row_models.with_state())

    await model(5)

    assert model.state.state == "alone"
    assert "batch axis" in model.state.why


async def test_rows_too_large_for_a_batch_are_not_probed(calls):
    linear = calls(LINEAR, max_batch_bytes=100)

    await linear(10)

    assert linear.predictor.rows == [1] * 10
    assert "max_batch_bytes" in linear.state.why


async def test_probes_end_with_the_batcher(calls):
    linear = calls(LINEAR)
    await linear(4)

    await linear.batcher.close()

    assert not linear.batcher._prober._tasks


async def test_after_an_upload_that_failed_half_way_nothing_is_joined_for_a_while(calls):
    linear = calls(LINEAR)
    await linear.until("joined")

    with pytest.raises(TransportError), linear.batcher.replacing("m"):
        raise TransportError("predict: gone", code="UNAVAILABLE")
    for _ in range(5):
        await linear(10)

    assert set(linear.predictor.rows) == {1}


async def test_shapes_that_depend_on_the_rows_are_no_batch(calls):
    nodes = [
        row_models._node("Transpose", "x", "t", perm=[1, 0]),
        row_models._node("MatMul", "x t", "y"),
    ]
    onnx = row_models._model(nodes, {"x": ["n", 4]}, {"y": ["n", "n"]})
    gram = calls(row_models.RowModel(onnx, ((1, 4),)))

    await gram.until("alone")  # without a warning: there is nothing that could have been mixed

    assert "rows" in gram.state.why


async def test_callers_with_several_rows_keep_them_together(calls):
    linear = calls(LINEAR)
    sizes = [1, 3, 2, 16, 5, 1, 7, 4]
    make = np.random.default_rng(1).standard_normal
    arrays = [[make((size, 16)).astype(np.float32)] for size in sizes]
    for _ in range(10):
        found = (linear.batcher.predict("m", translate_tensors(a), 5.0) for a in arrays)
        check_linear(arrays, await asyncio.gather(*found))
        await asyncio.sleep(0.02)

    assert linear.state.state == "joined"
    assert max(linear.recorder.batch_sizes) > 16
