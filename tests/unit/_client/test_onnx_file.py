"""What an ONNX file says before it is sent."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blindai_async._client.onnx_file import OnnxNames, check_onnx_file
from blindai_async.errors import TensorError


def graph(**changes):
    onnx = pytest.importorskip("onnx")
    helper = onnx.helper
    x = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["batch", 2])
    parts = {"nodes": [], "name": "g", "inputs": [x], "outputs": [x]} | changes
    return helper.make_model(helper.make_graph(**parts))


def test_the_names_are_told_in_the_models_order(onnx_models, tmp_path):
    model = onnx_models.subtract_and_swap()
    expected = OnnxNames(("a", "b"), ("difference", "second"))
    (tmp_path / "m.onnx").write_bytes(model)
    for given_as in (
        model,
        bytearray(model),
        memoryview(model),
        tmp_path / "m.onnx",
        str(tmp_path / "m.onnx"),
    ):
        assert check_onnx_file(given_as) == expected


def test_weights_that_are_listed_as_inputs_are_none(onnx_models):
    onnx = pytest.importorskip("onnx")
    w = onnx.numpy_helper.from_array(__import__("numpy").zeros(2, "f4"), "w")
    info = onnx.helper.make_tensor_value_info("w", onnx.TensorProto.FLOAT, [2])
    x = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [2])
    model = graph(inputs=[x, info], initializer=[w])
    assert check_onnx_file(model.SerializeToString()).inputs == ("x",)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("FLOAT16", "float32 inputs and outputs"),
        ("BFLOAT16", "float32 inputs and outputs"),
        ("STRING", "cut the model"),
        ("COMPLEX64", "Cast"),
    ],
)
@pytest.mark.parametrize("role", ["input", "output"])
def test_elements_that_cannot_travel_are_named(kind, words, role):
    onnx = pytest.importorskip("onnx")
    info = onnx.helper.make_tensor_value_info("v", getattr(onnx.TensorProto, kind), [1])
    model = graph(**{f"{role}s": [info]}).SerializeToString()
    with pytest.raises(TensorError, match=rf"its {role} 'v' is tensor\({kind.lower()}\).*{words}"):
        check_onnx_file(model)


def test_scikit_learns_sequence_of_maps_is_told_its_way_out():
    onnx = pytest.importorskip("onnx")
    helper, proto = onnx.helper, onnx.TensorProto
    value = helper.make_tensor_type_proto(proto.FLOAT, [])
    probabilities = helper.make_value_info(
        "output_probability",
        helper.make_sequence_type_proto(helper.make_map_type_proto(proto.INT64, value)),
    )
    with pytest.raises(TensorError, match=r"'output_probability' is seq\(\.\.\.\).*zipmap=False"):
        check_onnx_file(graph(outputs=[probabilities]).SerializeToString())


def test_weights_in_other_files_are_refused(onnx_models, tmp_path):
    onnx = pytest.importorskip("onnx")
    model = onnx.load_from_string(onnx_models.linear(64, 64))
    path = tmp_path / "m.onnx"
    onnx.save(model, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    with pytest.raises(TensorError, match="'weights' in an external file"):
        check_onnx_file(path)


def test_what_cannot_be_read_is_left_to_the_server(onnx_models, tmp_path):
    (tmp_path / "empty").touch()
    model = onnx_models.linear(2, 2)
    for nothing in (b"", b"\xff" * 50, model[:-5], tmp_path / "empty", tmp_path / "none", tmp_path):
        assert check_onnx_file(nothing) == OnnxNames()
    assert check_onnx_file(7) == OnnxNames()


@given(st.binary(max_size=300))
def test_no_bytes_raise_anything_but_the_refusal(junk):
    with suppress(TensorError):
        assert isinstance(check_onnx_file(junk), OnnxNames)


def test_a_cut_file_never_raises_anything_else(onnx_models):
    model = onnx_models.linear(8, 8)
    for length in range(len(model)):
        assert isinstance(check_onnx_file(model[:length]), OnnxNames)
