"""A model that refuses batches, or mixes their rows, is learned: no caller sees an error."""

import asyncio

import numpy as np
import pytest

from blindai_async import Batching
from blindai_async.errors import RequestRejectedError


async def test_a_fixed_batch_dimension_is_learned(connect, requests, onnx_models, rows):
    conn = await connect(batching=Batching(independence="assume"))
    await conn.upload_model(onnx_models.identity("float32", (1, 4)), model_id="fixed")
    inputs = rows(20)

    for _ in range(3):
        results = await asyncio.gather(*(conn.predict("fixed", row) for row in inputs))
        assert all(
            r.output[0].as_numpy().tobytes() == row.tobytes()
            for row, r in zip(inputs, results, strict=True)
        )

    refused = [count for count in requests.rows if count > 1]
    assert len(refused) <= 2  # those that were out before the first refusal came back
    assert requests.rows[-20:] == [1] * 20


async def test_outputs_that_have_not_the_batchs_rows_are_noticed(connect, onnx_models, rows):
    conn = await connect(batching=Batching(independence="assume"))
    await conn.upload_model(onnx_models.mean_of_all(), model_id="mean")
    inputs = rows(20)

    for _ in range(2):
        results = await asyncio.gather(*(conn.predict("mean", row) for row in inputs))
        assert [float(r.output[0].as_numpy()) for r in results] == [row.mean() for row in inputs]


async def test_rows_that_depend_on_each_other_by_shape_are_noticed(connect, onnx_models, rows):
    """Every row against every row: a batch of n gives n x n, which has n rows and is wrong."""
    conn = await connect(batching=Batching(independence="assume"))
    model = onnx_models._graph(
        [("Transpose", ["x"], ["t"], {"perm": [1, 0]}), ("MatMul", ["x", "t"], ["y"], {})],
        [("x", "float32", ("batch", 4))],
        [("y", "float32", ("batch", "batch"))],
    )
    await conn.upload_model(model, model_id="gram")
    inputs = rows(20)

    for _ in range(2):
        results = await asyncio.gather(*(conn.predict("gram", row) for row in inputs))
        for row, result in zip(inputs, results, strict=True):
            assert np.array_equal(result.output[0].as_numpy(), row @ row.T)


async def test_one_bad_row_does_not_fail_its_neighbours(connect, requests, onnx_models):
    """A lookup with an index that is out of bounds fails the whole batch, on any server."""
    conn = await connect(batching=Batching(independence="assume"))
    table = np.arange(10, dtype=np.float32).reshape(10, 1)
    model = onnx_models._graph(
        [("Gather", ["table", "x"], ["y"], {})],
        [("x", "int64", ("batch",))],
        [("y", "float32", ("batch", 1))],
        {"table": table},
    )
    await conn.upload_model(model, model_id="lookup")
    await conn.predict("lookup", np.array([3]))
    indices = [0, 1, 99, 3, 4, 77, 6]

    results = await asyncio.gather(
        *(conn.predict("lookup", np.array([i])) for i in indices), return_exceptions=True
    )
    bad = [result for result in results if isinstance(result, BaseException)]

    assert [r.output[0].as_flat() for r in results if not isinstance(r, BaseException)] == [
        [0.0], [1.0], [3.0], [4.0], [6.0],
    ]  # fmt: skip
    assert [type(error) for error in bad] == [RequestRejectedError] * 2
    assert bad[0] is not bad[1]

    requests.rows.clear()  # the model was not at fault: it is still served in batches
    await asyncio.gather(*(conn.predict("lookup", np.array([i])) for i in range(5)))
    assert requests.rows == [5]


async def test_every_caller_of_an_unknown_model_gets_its_own_error(connect, rows):
    conn = await connect(batching=Batching(independence="assume"))

    errors = await asyncio.gather(
        *(conn.predict("nobody", row) for row in rows(10)), return_exceptions=True
    )

    assert all(isinstance(error, RequestRejectedError) for error in errors)
    assert len({id(error) for error in errors}) == 10


async def test_an_answer_too_large_for_a_batch_is_fetched_one_by_one(connect, onnx_models, rows):
    conn = await connect(batching=Batching(independence="assume"), max_reply_bytes=6000)
    await conn.upload_model(onnx_models.linear(4, 500), model_id="wide")  # 2000 bytes a row

    for _ in range(2):
        results = await asyncio.gather(*(conn.predict("wide", row) for row in rows(6)))
        assert all(result.output[0].shape == (1, 500) for result in results)


async def test_an_upload_under_the_same_id_is_learned_anew(connect, requests, onnx_models, rows):
    conn = await connect(batching=Batching(independence="assume"))
    await conn.upload_model(onnx_models.identity("float32", (1, 4)), model_id="m")
    await asyncio.gather(*(conn.predict("m", row) for row in rows(10)))
    await conn.upload_model(onnx_models.identity(), model_id="m")
    await conn.predict("m", rows(1)[0])
    requests.rows.clear()

    await asyncio.gather(*(conn.predict("m", row) for row in rows(10)))

    assert requests.rows == [10]


@pytest.mark.parametrize("dtype", ["float64", "int8", "uint16", "bool"])
async def test_batches_are_exact_for_every_width(connect, onnx_models, dtype):
    conn = await connect(batching=Batching(independence="assume"))
    await conn.upload_model(onnx_models.identity(dtype, ("batch", 3)), model_id="m")
    inputs = [np.array([[i % 2, 1, 0]], dtype) for i in range(30)]

    results = await asyncio.gather(*(conn.predict("m", row) for row in inputs))

    for row, result in zip(inputs, results, strict=True):
        back = result.output[0].as_numpy()
        assert (back.dtype, back.tobytes()) == (row.dtype, row.tobytes())
