"""What a caller states about a model, in every form of the API, and about itself."""

from __future__ import annotations

import getpass
import platform
import socket

import numpy as np
import pytest
from pydantic import ValidationError

from blindai_async import ModelDatumType, ModelSpec, TensorSpec, __version__
from blindai_async.errors import TensorError
from blindai_async.specs import ClientInfo, model_spec

F32, I64, U8 = ModelDatumType.F32, ModelDatumType.I64, ModelDatumType.U8


def facts(input_specs=None, output_specs=None, shape=None, dtype=None, dtype_out=None):
    spec = model_spec(input_specs, output_specs, shape, dtype, dtype_out)
    return [(list(s.dims), s.dtype) for s in spec.inputs], [s.dtype for s in spec.outputs]


@pytest.mark.parametrize(
    "input_specs",
    [
        [([1, 4], I64)],
        [[[1, 4], I64]],
        (([1, 4], I64),),
        [[1, 4], I64],
        ([1, 4], "int64"),
        [((1, 4), np.int64)],
        [((1, 4), np.dtype(">i8"))],
        [([1, 4], "I64")],
        TensorSpec(dims=(1, 4), dtype="i64"),
        [TensorSpec(dims=[1, 4], dtype=np.int64)],
        ModelSpec(inputs=[TensorSpec(dims=(1, 4), dtype=I64)]),
    ],
)
def test_one_input_may_be_stated_in_many_ways(input_specs):
    assert facts(input_specs) == ([([1, 4], I64)], [])


@pytest.mark.parametrize(
    "output_specs",
    [[U8], (U8,), U8, "uint8", ["uint8"], [[U8]], [np.uint8], TensorSpec(dtype=U8), np.dtype("u1")],
)
def test_one_output_may_be_stated_in_many_ways(output_specs):
    assert facts(output_specs=output_specs) == ([], [U8])


def test_several_inputs_and_outputs_keep_their_order():
    mixed = [([1], F32), TensorSpec(dims=(2, 2), dtype="u8"), ([], I64)]
    assert facts(mixed, [I64, F32]) == ([([1], F32), ([2, 2], U8), ([], I64)], [I64, F32])


def test_the_short_form_speaks_of_one_input_and_one_output():
    assert facts(shape=(1, 4), dtype="i64", dtype_out="u8") == ([([1, 4], I64)], [U8])
    assert facts(shape=[3]) == ([([3], F32)], [])
    assert facts(shape=()) == ([([], F32)], [])
    assert facts(dtype_out=F32) == ([], [F32])


def test_a_dtype_without_a_shape_states_nothing():
    """A tensor of rank 0 would be said of a model that may have another."""
    assert facts(dtype=I64) == ([], [])


def test_nothing_stated_leaves_it_to_the_model():
    assert facts() == ([], [])


def test_the_long_form_goes_before_the_short_one():
    assert facts([([1], I64)], [U8], (9,), "f64", "f64") == ([([1], I64)], [U8])


def test_a_model_spec_speaks_of_both():
    spec = ModelSpec(inputs=[TensorSpec(name="x")], outputs=[TensorSpec(dtype="bool", name="y")])
    assert model_spec(spec, None, None, None, None) is spec


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"input_specs": [([1], "float16")]}, r"input_specs\[0\]: dtype.*float16"),
        ({"input_specs": [([1], F32), ([-1], F32)]}, r"input_specs\[1\]: dims"),
        ({"input_specs": [([2**31], F32)]}, "dims"),
        ({"input_specs": [([None, 4], F32)]}, "dims"),
        ({"input_specs": [(["batch", 4], F32)]}, "dims"),
        ({"input_specs": [([1.5], F32)]}, "dims"),
        ({"input_specs": [F32]}, r"input_specs\[0\]"),
        ({"input_specs": [([1],)]}, r"input_specs\[0\]"),
        ({"input_specs": ["float32"]}, r"input_specs\[0\]"),
        ({"input_specs": 7}, r"input_specs\[0\]: 7"),
        ({"output_specs": [F32, "c64"]}, r"output_specs\[1\]: dtype"),
        ({"output_specs": [7]}, r"output_specs\[0\]: dtype"),
        ({"shape": (1, -4)}, "shape, dtype: dims"),
        ({"shape": 4}, "shape, dtype: dims"),
        ({"shape": (1,), "dtype": "half"}, "shape, dtype: dtype"),
        ({"dtype_out": complex}, "dtype_out: dtype"),
    ],
)
def test_what_is_no_spec_is_refused_by_its_place(arguments, said):
    with pytest.raises(TensorError, match=said):
        facts(**arguments)


def test_specs_are_frozen_values():
    spec = TensorSpec(dims=[1], dtype="f32")
    assert spec == TensorSpec(dims=(1,))
    assert hash(spec) == hash(TensorSpec(dims=(1,)))
    with pytest.raises(ValidationError):
        spec.dims = (2,)
    with pytest.raises(ValidationError, match="shape"):
        TensorSpec(shape=(1,))
    assert ModelSpec.model_validate_json(ModelSpec(inputs=[spec]).model_dump_json()).inputs == (
        spec,
    )


def test_the_platform_is_told_and_the_user_is_not():
    info = ClientInfo.collect()
    assert info.uid == ""
    assert (info.user_agent, info.user_agent_version) == ("blindai_async", __version__)
    assert (info.platform_name, info.platform_arch) == (platform.system(), platform.machine())
    said = " ".join(info.model_dump().values())
    assert getpass.getuser() not in said.split()
    assert socket.gethostname() not in said.split()


def test_the_user_is_told_as_a_hash_where_asked():
    info = ClientInfo.collect(send_uid=True)
    assert len(bytes.fromhex(info.uid)) == 32
    assert info == ClientInfo.collect(send_uid=True)
    assert getpass.getuser() not in info.uid
