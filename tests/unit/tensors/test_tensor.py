"""A tensor as callers read it."""

import copy
import pickle

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from blindai_async.errors import TensorError
from blindai_async.tensors import ModelDatumType, Tensor, TensorInfo, dtype_to_numpy

EXPORTS_READ_ONLY = np.lib.NumpyVersion(np.__version__) >= "2.1.0"

F32 = ModelDatumType.F32
DTYPES = list(ModelDatumType)


def tensor_of(array, datum_type=F32, name=""):
    return Tensor(TensorInfo(list(array.shape), datum_type, 0, name), array.tobytes())


@pytest.mark.parametrize("datum_type", DTYPES, ids=lambda d: d.name)
def test_numpy_reads_the_elements_themselves(datum_type):
    array = np.array([[0, 1], [1, 0]], dtype_to_numpy(datum_type))
    tensor = tensor_of(array, datum_type)

    view = np.asarray(tensor)
    assert (view.dtype, view.shape) == (array.dtype, (2, 2))
    assert np.array_equal(view, array)
    assert np.shares_memory(view, tensor.as_numpy())
    assert not view.flags.writeable


def test_numpy_gets_its_own_memory_where_it_asks_for_it():
    tensor = tensor_of(np.array([1, 2], "<f4"))

    for own in (np.array(tensor), tensor.as_numpy(copy=True), tensor.__array__(copy=True)):
        own[0] = 7
    assert np.asarray(tensor, "float64").tolist() == [1, 2]
    assert np.asarray(tensor, "float32").base is not None
    assert tensor.__array__("float64", copy=None).dtype == np.float64
    with pytest.raises(ValueError, match="float64"):
        tensor.__array__("float64", copy=False)
    assert np.shares_memory(tensor.__array__(copy=False), tensor.as_numpy())


@pytest.mark.parametrize("datum_type", DTYPES, ids=lambda d: d.name)
def test_dlpack_shares_the_memory_with_those_who_know_it_is_read_only(datum_type):
    tensor = tensor_of(np.array([0, 1, 1], dtype_to_numpy(datum_type)), datum_type)

    got = np.from_dlpack(tensor)
    assert np.array_equal(got, tensor.as_numpy())
    if EXPORTS_READ_ONLY:
        assert np.shares_memory(got, tensor.as_numpy())
        assert not got.flags.writeable
    assert tensor.__dlpack_device__() == (1, 0)


def test_dlpack_never_lets_an_older_consumer_write_into_what_was_signed():
    class Legacy:
        """A consumer that knows nothing of DLPack 1.0."""

        def __init__(self, tensor):
            self._tensor = tensor

        def __dlpack__(self, **_):
            return self._tensor.__dlpack__()

        def __dlpack_device__(self):
            return self._tensor.__dlpack_device__()

    tensor = tensor_of(np.array([1, 2], "<f4"))
    got = np.from_dlpack(Legacy(tensor))
    assert got.tolist() == [1, 2]
    assert not np.shares_memory(got, tensor.as_numpy())
    with pytest.raises(BufferError):
        tensor.__dlpack__(copy=False)


def test_a_tensor_has_the_length_of_its_first_axis():
    assert len(tensor_of(np.zeros((3, 2), "<f4"))) == 3
    empty = tensor_of(np.zeros((0, 2), "<f4"))
    assert len(empty) == 0
    assert empty  # an output that is there
    with pytest.raises(TypeError, match="scalar"):
        len(tensor_of(np.zeros((), "<f4")))


def test_a_repr_shows_facts_and_a_few_values():
    assert repr(tensor_of(np.arange(9, dtype="<f4"), name="p")) == (
        "Tensor(float32[9], 'p': 0.0, 1.0, 2.0, 3.0, 4.0, 5.0, …)"
    )
    assert repr(tensor_of(np.array(True), ModelDatumType.Bool)) == "Tensor(bool[]: True)"
    assert repr(tensor_of(np.zeros((0, 4), "<f4"))) == "Tensor(float32[0, 4]: )"


@pytest.mark.parametrize("datum_type", DTYPES, ids=lambda d: d.name)
@pytest.mark.parametrize("shape", [(), (0, 4), (2, 3)], ids=str)
def test_a_tensor_is_dumped_and_read_back_with_every_bit(datum_type, shape):
    rng = np.random.default_rng(int(datum_type))
    size = int(np.prod(shape)) * np.dtype(dtype_to_numpy(datum_type)).itemsize
    raw = rng.integers(0, 2 if datum_type is ModelDatumType.Bool else 256, size, "u1").tobytes()
    tensor = Tensor(TensorInfo(list(shape), datum_type, 3, "y"), raw)
    adapter = TypeAdapter(Tensor)

    assert adapter.validate_json(adapter.dump_json(tensor)) == tensor
    assert adapter.validate_python(adapter.dump_python(tensor)) == tensor
    assert adapter.validate_python(adapter.dump_python(tensor, mode="json")) == tensor
    assert adapter.validate_python(tensor) is tensor


@pytest.mark.parametrize(
    "change",
    [{"dims": [3]}, {"dims": [-1]}, {"bytes_data": "?"}, {"datum_type": "float16"}, {"more": 1}],
    ids=str,
)
def test_what_is_no_tensor_is_not_read(change):
    good = {"dims": [1], "datum_type": "float32", "bytes_data": "AAAAAA=="}
    adapter = TypeAdapter(Tensor)
    assert adapter.validate_python(good).as_flat() == [0]
    with pytest.raises(ValidationError):
        adapter.validate_python(good | change)


def test_a_tensor_is_read_as_array_list_and_bytes():
    tensor = Tensor(TensorInfo([1, 2], F32, 3, "y"), np.array([1, 2], "<f4").tobytes())

    assert tensor.shape == (1, 2)
    assert tensor.datum_type is F32
    assert tensor.as_numpy().tolist() == [[1, 2]]
    assert tensor.as_flat() == [1, 2]
    assert tensor.bytes_data == np.array([1, 2], "<f4").tobytes()
    assert repr(tensor) == "Tensor(float32[1, 2], 'y': 1.0, 2.0)"


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
