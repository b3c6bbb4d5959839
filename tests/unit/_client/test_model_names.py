"""Which names of a model count, and what they are used for."""

from __future__ import annotations

import pytest

from blindai_async import ModelSpec, PredictResponse, Tensor, TensorInfo, TensorSpec
from blindai_async import UploadModelResponse as Uploaded
from blindai_async._client.model_names import ModelNames
from blindai_async._client.onnx_file import OnnxNames
from blindai_async.errors import TensorError
from blindai_async.tensors import ModelDatumType


def specs(*names):
    return tuple(TensorSpec(name=name) for name in names)


def answer(*names):
    tensors = [
        Tensor(TensorInfo([1], ModelDatumType.U8, index, name), b"\x01")
        for index, name in enumerate(names)
    ]
    return PredictResponse(output=tensors, model_id="m")


@pytest.mark.parametrize(
    ("stated", "answered", "in_file", "expected"),
    [
        (("a", "b"), ("c", "d"), ("e", "f"), ("a", "b")),
        ((), ("c", "d"), ("e", "f"), ("c", "d")),
        (("a", ""), (), ("e", "f"), ("e", "f")),
        (("a", "a"), (), ("e", "f"), ("e", "f")),
        ((), (), (), ("y", "x")),
    ],
)
def test_the_callers_names_count_before_the_servers_and_the_files(
    stated, answered, in_file, expected
):
    names = ModelNames()
    response = Uploaded(model_id="m", inputs=specs(*answered))
    names.learn(response, ModelSpec(inputs=specs(*stated)), OnnxNames(in_file, ()))
    assert names.order("m", dict.fromkeys(reversed(expected) if in_file else expected)) == expected
    assert names.knows_inputs("m") is bool(in_file)


def test_outputs_without_names_get_those_that_are_known():
    names = ModelNames()
    names.learn(Uploaded(model_id="m"), ModelSpec(outputs=specs("p", "q")), OnnxNames())
    for given, expected in (
        (("", ""), ["p", "q"]),
        (("own", ""), ["own"]),
        (("", "own"), ["own"]),
        (("",), []),
        ((), []),
    ):
        response = answer(*given)
        names.name_outputs("m", response)
        assert list(response.outputs) == expected
    other = answer("", "")
    names.name_outputs("another", other)
    assert list(other.outputs) == []
    with pytest.raises(KeyError, match="the server names none of its 2"):
        other.outputs["p"]


def test_outputs_that_share_a_name_are_not_mistaken_for_one_another():
    response = answer("p", "p", "q")
    assert list(response.outputs) == ["q"]
    with pytest.raises(KeyError):
        response.outputs["p"]


def test_what_is_forgotten_is_unknown():
    names = ModelNames()
    names.learn(Uploaded(model_id="m"), ModelSpec(inputs=specs("x")), OnnxNames())
    with pytest.raises(TensorError, match="no input 'y'"):
        names.order("m", {"y": 1})
    names.forget("m")
    names.forget("m")
    assert names.order("m", {"y": 1}) == ("y",)


def test_the_memory_is_bounded():
    names = ModelNames()
    for number in range(3000):
        names.learn(Uploaded(model_id=str(number)), ModelSpec(inputs=specs("x")), OnnxNames())
    assert names.knows_inputs("2999")
    assert not names.knows_inputs("0")
    assert len(names._models) == 1024
