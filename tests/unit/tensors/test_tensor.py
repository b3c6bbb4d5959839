"""A tensor as callers read it."""

import copy
import pickle

import numpy as np
import pytest

from blindai_async.errors import TensorError
from blindai_async.tensors import ModelDatumType, Tensor, TensorInfo

F32 = ModelDatumType.F32


def test_a_tensor_is_read_as_array_list_and_bytes():
    tensor = Tensor(TensorInfo([1, 2], F32, 3, "y"), np.array([1, 2], "<f4").tobytes())

    assert tensor.shape == (1, 2)
    assert tensor.datum_type is F32
    assert tensor.as_numpy().tolist() == [[1, 2]]
    assert tensor.as_flat() == [1, 2]
    assert tensor.bytes_data == np.array([1, 2], "<f4").tobytes()
    assert repr(tensor) == "Tensor(float32[1, 2], 'y')"


def test_nan_payloads_survive():
    raw = bytes.fromhex("010080ff0100c07f")  # a signalling NaN and a quiet one, with payloads

    assert Tensor(TensorInfo([2], F32), raw).as_numpy().tobytes() == raw


def test_scalars_and_empty_tensors_have_their_shapes():
    assert Tensor(TensorInfo([], ModelDatumType.U8), b"\x07").as_numpy()[()] == 7
    assert Tensor(TensorInfo([0, 4], F32), b"").as_numpy().shape == (0, 4)


def test_the_view_cannot_be_written_even_over_a_writable_buffer():
    buffer = bytearray(b"\x01\x02")
    tensor = Tensor(TensorInfo([2], ModelDatumType.U8), buffer)

    assert not tensor.as_numpy().flags.writeable


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda t: pickle.loads(pickle.dumps(t))])
def test_a_tensor_can_be_copied_and_pickled(clone):
    tensor = Tensor(TensorInfo([2], ModelDatumType.U8), memoryview(b"xx12")[2:])

    assert clone(tensor) == tensor
    assert tensor != Tensor(TensorInfo([2], ModelDatumType.I8), b"12")
    assert tensor != "12"


def test_bytes_that_do_not_fit_are_refused():
    with pytest.raises(TensorError, match=r"3 bytes came, but float32\[1\] takes 4"):
        Tensor(TensorInfo([1], F32), b"123")


@pytest.mark.parametrize("datum_type", list(ModelDatumType), ids=lambda d: d.name)
def test_torch_gets_its_own_writable_memory(datum_type):
    torch = pytest.importorskip("torch")
    tensor = Tensor(
        TensorInfo([2], datum_type), bytes(2 * np.dtype("?").itemsize * _size(datum_type))
    )

    back = tensor.as_torch()
    back[0] = 1

    assert back.dtype is getattr(torch, str(back.dtype).removeprefix("torch."))
    assert tensor.as_flat()[0] == 0


def _size(datum_type):
    return int(datum_type.name.lstrip("FIUBol") or 8) // 8


def test_small_parts_do_not_hold_the_reply_that_they_came_in():
    reply = bytes(4096)
    info = TensorInfo([4, 2], ModelDatumType.F32)
    small = Tensor(info, memoryview(reply)[:32]).split([1, 3])
    large = Tensor(TensorInfo([2, 512], ModelDatumType.F32), memoryview(reply)).split([1, 1])

    assert all(len(part._data.obj) == part._data.nbytes for part in small)
    assert all(part._data.obj is reply for part in large)
