"""Models in ONNX Runtime: what they declare, and what does not load or run."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from blindai_async._pb import securedexchange_pb2 as pb
from blindai_async.server.inference.onnx_runtime import Inference, Model
from blindai_async.server.inference.tensor_assembly import ArrivingTensor
from blindai_async.server.status_errors import RefusalError
from blindai_async.tensors.dtypes import ModelDatumType, translate_dtype


def arrived(array):
    kind = pb.DatumTypeEnum.Name(int(translate_dtype(array.dtype)))
    tensor = ArrivingTensor(pb.TensorInfo(dims=array.shape, datum_type=kind))
    tensor.extend(array.tobytes())
    return tensor


def test_a_model_declares_inputs_and_outputs(onnx_models):
    model = Model(onnx_models.add("int16", ("batch", 3, None)))
    assert [(fact.name, fact.dims, fact.datum_type) for fact in model.inputs] == [
        ("a", (None, 3, None), ModelDatumType.I16),
        ("b", (None, 3, None), ModelDatumType.I16),
    ]
    assert [fact.name for fact in model.outputs] == ["total"]


def test_initializers_are_no_inputs(onnx_models):
    assert [fact.name for fact in Model(onnx_models.linear(2, 2)).inputs] == ["x"]


def test_a_linear_model_computes(onnx_models):
    x = np.random.default_rng(0).standard_normal((5, 8), dtype=np.float32)
    ((fact, y),) = Inference(Model(onnx_models.linear(8, 3)), [arrived(x)]).run()
    assert (fact.name, fact.datum_type) == ("y", ModelDatumType.F32)
    np.testing.assert_allclose(y, x @ onnx_models.linear_weights(8, 3), rtol=1e-5, atol=1e-5)


def test_a_stopped_inference_fails(onnx_models):
    inference = Inference(Model(onnx_models.endless()), [arrived(np.array(0))])
    inference.stop()
    with pytest.raises(RefusalError, match="inference failed"):
        inference.run()


def test_a_failing_node_is_a_refusal_without_paths(onnx_models):
    model = Model(onnx_models.filled())
    inference = Inference(model, [arrived(np.array([-1]))])
    with pytest.raises(RefusalError) as caught:
        inference.run()
    assert caught.value.code.name == "UNKNOWN"
    assert "/" not in caught.value.details


@pytest.mark.parametrize("content", [b"", b"\x00", b"x" * 100, b"\x3a\x00"], ids=repr)
def test_what_is_no_model_is_refused(content):
    with pytest.raises(RefusalError, match="The model"):
        Model(content)


def test_a_truncated_model_is_refused(onnx_models):
    whole = onnx_models.linear(4, 4)
    for end in range(0, len(whole) - 1, 7):
        with pytest.raises(RefusalError, match="The model"):
            Model(whole[:end])


PROGRAM = """
import sys
sys.modules["onnxruntime"] = None
import blindai_async.server
import blindai_async.server.tee.emulated
try:
    from blindai_async.server import BlindAIServer
except ImportError as error:
    print(error.name, error)
"""


def test_without_onnx_runtime_the_import_says_what_to_install():
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    assert done.stdout.startswith("onnxruntime ")
    assert "pip install 'blindai-async[server]'" in done.stdout


def test_a_value_that_a_node_refuses_is_no_mismatch(onnx_models):
    """Of the declared dtype and shape: the caller must not be told to change those."""
    model = Model(
        onnx_models._graph(
            [("Gather", ["table", "x"], ["y"], {})],
            [("x", "int64", ("batch",))],
            [("y", "float32", ("batch", 1))],
            {"table": np.zeros((10, 1), np.float32)},
        )
    )
    with pytest.raises(RefusalError, match=r"inference failed.*out of data bounds"):
        Inference(model, [arrived(np.array([99]))]).run()


def named(array, name):
    tensor = arrived(array)
    tensor.name = name
    return tensor


def test_inputs_by_name_come_in_the_models_order(onnx_models):
    model = Model(onnx_models.subtract_and_swap())
    a, b = np.full((1, 4), 5, np.float32), np.full((1, 4), 3, np.float32)

    def difference(*tensors):
        (_, found), _ = Inference(model, tensors).run()
        return found[0, 0]

    assert difference(named(b, "b"), named(a, "a")) == 2
    assert difference(named(a, "a"), named(b, "b")) == 2
    assert difference(arrived(a), arrived(b)) == 2  # in order of arrival
    assert difference(named(a, "x"), named(b, "y")) == 2  # another's names: the same
    for mixed in (
        (named(b, "b"), arrived(a)),
        (named(b, "b"), named(a, "c")),
        (named(b, "b"), named(a, "b")),
    ):
        with pytest.raises(RefusalError, match="Incompatible tensor input: the model takes a, b"):
            difference(*mixed)
