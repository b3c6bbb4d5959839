"""What a peer may say of a tensor: refused at once where it cannot be meant, and else readable."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from blindai_async.errors import TensorError
from blindai_async.tensors import ModelDatumType, Tensor, TensorInfo


@pytest.mark.parametrize("dims", [[0, 2**31 - 1, 2**31 - 1, 2**31 - 1], [2**31 - 1] * 5 + [0]])
def test_dims_that_numpy_cannot_have_are_refused_though_they_are_empty(dims):
    with pytest.raises(TensorError, match="too large"):
        Tensor(TensorInfo(dims, ModelDatumType.F32), b"")


@given(
    dims=st.lists(
        st.sampled_from([0, 1, 2, 3, 2**31 - 1, 2**31, -1]) | st.integers(-(2**31), 2**31 - 1),
        max_size=70,
    ),
    nbytes=st.integers(0, 64),
    datum_type=st.sampled_from(ModelDatumType),
)
@example(dims=[1] * 64, nbytes=4, datum_type=ModelDatumType.F32)
@example(dims=[0] * 33, nbytes=0, datum_type=ModelDatumType.I64)
def test_what_is_accepted_can_be_read(dims, nbytes, datum_type):
    """A peer may state any dims: what they cannot mean is refused at once, not when it is used."""
    try:
        tensor = Tensor(TensorInfo(dims, datum_type), bytes(nbytes))
    except TensorError:
        return
    array = tensor.as_numpy()
    assert array.shape == tuple(dims)
    assert array.nbytes == nbytes
    assert len(tensor.as_flat()) == array.size


def test_bool_bytes_other_than_0_and_1_are_true():
    tensor = Tensor(TensorInfo([3], ModelDatumType.Bool), b"\x00\x01\x02")
    assert tensor.as_flat() == [False, True, True]
    assert tensor.bytes_data == b"\x00\x01\x02"


@pytest.mark.parametrize("buffer", [bytearray(8), memoryview(bytearray(8)), memoryview(bytes(8))])
def test_any_buffer_may_hold_the_elements(buffer):
    tensor = Tensor(TensorInfo([2], ModelDatumType.F32), buffer)
    assert tensor.as_flat() == [0.0, 0.0]
    assert not tensor.as_numpy().flags.writeable


def test_a_tensor_says_what_it_is():
    info = TensorInfo([2], ModelDatumType.I16, 1, "scores")
    assert repr(Tensor(info, bytes(4))) == "Tensor(int16[2], 'scores': 0, 0)"
    assert Tensor(info, bytes(4)) != Tensor(info, b"\1\0\0\0")
    assert Tensor(info, bytes(4)) != "Tensor"
    with pytest.raises(TypeError):
        hash(Tensor(info, bytes(4)))
