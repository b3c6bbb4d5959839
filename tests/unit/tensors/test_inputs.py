"""What callers pass as tensors: every layout arrives bit-exact, everything else is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from blindai_async.errors import TensorError
from blindai_async.tensors import ModelDatumType, Tensor, TensorInfo, flat, translate_tensors
from blindai_async.tensors.inputs import conversion_is_costly

NUMPY_NAMES = ["f4", "f8", "i4", "i8", "u4", "u8", "u1", "u2", "i1", "i2", "?"]


@st.composite
def arrays_of_any_layout(draw):
    dtype = np.dtype(draw(st.sampled_from(NUMPY_NAMES))).newbyteorder(draw(st.sampled_from("<>")))
    shape = draw(npst.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5))
    size = int(np.prod(shape)) * dtype.itemsize
    raw = draw(st.binary(min_size=size, max_size=size))
    if dtype.kind == "b":
        raw = bytes(byte & 1 for byte in raw)
    array = np.frombuffer(raw, dtype).reshape(shape)
    layout = draw(st.sampled_from(["C", "F", "reversed", "strided", "transposed"]))
    if layout == "F":
        array = np.asfortranarray(array)
    elif layout == "reversed" and array.ndim:
        array = array[::-1]
    elif layout == "strided" and array.ndim:
        array = np.repeat(array, 2, axis=-1)[..., ::2]
    elif layout == "transposed":
        array = array.T
    return array


@given(arrays_of_any_layout())
def test_every_array_arrives_bit_exact(array):
    (wire,) = translate_tensors(array)

    assert wire.shape == list(array.shape)
    assert wire.array.flags.c_contiguous
    expected = array if array.dtype.byteorder != ">" else array.byteswap()
    assert wire.array.tobytes() == expected.tobytes()


def test_an_array_in_the_wires_layout_is_not_copied():
    array = np.zeros((3, 4), "<f4")

    assert np.shares_memory(translate_tensors(array)[0].array, array)


def test_several_inputs_keep_their_order_and_types():
    first, second = np.zeros((2, 3), np.float32), np.ones(4, np.int64)

    inputs = translate_tensors([first, second])

    assert [(i.datum_type, i.shape) for i in inputs] == [
        (ModelDatumType.F32, [2, 3]),
        (ModelDatumType.I64, [4]),
    ]


def test_a_tensor_of_a_reply_can_be_sent_on():
    tensor = Tensor(TensorInfo([2], ModelDatumType.I16), b"\x01\x00\x02\x00")

    assert translate_tensors(tensor)[0].array.tolist() == [1, 2]


def test_numpy_scalars_are_tensors_of_rank_0():
    (wire,) = translate_tensors(np.float32(1.5))

    assert (wire.shape, wire.array[()]) == ([], 1.5)


@pytest.mark.parametrize("name", [*NUMPY_NAMES])
def test_flat_lists_take_their_dtype_and_shape_from_the_caller(name):
    numbers = [0, 1, 1, 0, 1, 0]

    (wire,) = translate_tensors(numbers, np.dtype(name), [2, 3])

    assert wire.array.dtype == np.dtype(name)
    assert wire.array.tolist() == [[0, 1, 1], [0, 1, 0]]


def test_several_flat_lists_share_a_dtype_or_have_their_own():
    shared = translate_tensors([[1, 2], [3]], "i32", [[2], [1]])
    own = translate_tensors([[1, 2], [3.5]], ["i32", "f64"], [(2,), (1,)])

    assert [i.array.tolist() for i in shared] == [[1, 2], [3]]
    assert [i.datum_type.name for i in own] == ["I32", "F64"]


def test_a_nested_list_with_one_shape_is_one_input():
    (wire,) = translate_tensors([[1, 2], [3, 4]], "u8", (2, 2))

    assert wire.array.tolist() == [[1, 2], [3, 4]]


@given(st.lists(st.integers(-(2**70), 2**70), min_size=1, max_size=8), st.sampled_from(NUMPY_NAMES))
def test_integers_in_lists_arrive_exactly_or_not_at_all(numbers, name):
    dtype = np.dtype(name)
    if dtype.kind == "f":
        limit = 2**24 if name == "f4" else 2**53
        numbers = [n % limit for n in numbers]
        low, high = 0, limit
    elif dtype.kind == "b":
        low, high = 0, 1
    else:
        low, high = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)

    if all(low <= n <= high for n in numbers):
        assert [
            int(n) for n in translate_tensors(numbers, dtype, [len(numbers)])[0].array
        ] == numbers
    else:
        with pytest.raises(TensorError, match="input 0"):
            translate_tensors(numbers, dtype, [len(numbers)])


def test_long_lists_are_converted_in_slices_and_whole():
    numbers = list(range(50_000))

    (wire,) = translate_tensors(numbers, "i64", [50_000])

    assert wire.array.tolist() == numbers


def refused(tensors, dtype=None, shape=None):
    with pytest.raises(TensorError) as caught:
        translate_tensors(tensors, dtype, shape)
    return str(caught.value)


@pytest.mark.parametrize(
    ("tensors", "dtype", "shape", "said"),
    [
        (np.zeros(2, np.float16), None, None, "input 0: NumPy dtype float16"),
        (np.zeros(2, np.complex64), None, None, "complex64"),
        (np.array(["a"]), None, None, "<U1"),
        (np.array([None]), None, None, "object"),
        ([np.zeros(1, "f4"), np.zeros(1, "f2")], None, None, "input 1: NumPy dtype float16"),
        (np.ma.masked_array([1.0, 2.0], [0, 1]), None, None, "masked array"),
        (np.zeros(2, "f4"), "f64", None, "float32 came, but dtype says float64"),
        (np.zeros(2, "f4"), None, [1, 2], "shape [2] came, but shape says [1, 2]"),
        ([1, 2, 3], None, [3], "without a dtype"),
        ([1, 2, 3], "f32", None, "without a shape"),
        ([], None, None, "without a dtype"),
        ([1, 2, 3], "f32", [2, 2], "3 elements came, but shape [2, 2] takes 4"),
        ([[1, 2], [3]], "f32", [2, 2], "ragged"),
        ([1, [2]], "f32", [2], "ragged"),
        ([1.5], "i32", [1], "floats do not fit int32"),
        ([300], "u8", [1], "values from 300 to 300 do not fit uint8"),
        ([-1], "u8", [1], "do not fit uint8"),
        ([2], "bool", [1], "do not fit bool"),
        ([1e300], "f32", [1], "too large for float32"),
        (["a"], "f32", [1], "not numbers"),
        ([1j], "f32", [1], "complex numbers"),
        ([None], "f32", [1], "not numbers"),
        ([[1], [2]], "f32", [[1]], "shape: 1 given for 2 input(s)"),
        ([[1], [2]], ["f32"], [[1], [1]], "dtype: 1 given for 2 input(s)"),
        ([1], "f32", [-1], "outside 0"),
        ([1], "f32", [2**31], "outside 0"),
        ("text", None, None, "str came"),
        (object(), None, None, "object came"),
        (None, None, None, "NoneType came"),
        ({"a": 1}, None, None, "dict came"),
    ],
)
def test_what_cannot_be_sent_is_named(tensors, dtype, shape, said):
    assert said in refused(tensors, dtype, shape)


def test_torch_tensors_are_sent_without_a_dependency_on_torch():
    torch = pytest.importorskip("torch")

    plain = torch.arange(6, dtype=torch.int32).reshape(2, 3)
    for tensor in (plain, plain.T, torch.zeros(2, requires_grad=True), torch.tensor(True)):
        (wire,) = translate_tensors(tensor)
        assert wire.shape == list(tensor.shape)
        assert wire.array.tolist() == tensor.detach().tolist()
    assert "float16" in refused(torch.zeros(1, dtype=torch.float16))
    assert "input 1" in refused([plain, torch.zeros(1, dtype=torch.bfloat16)])


def test_only_large_conversions_are_called_costly():
    image = np.zeros((480, 480, 3), np.float32)

    assert not conversion_is_costly(image)
    assert conversion_is_costly(image[::-1])
    assert conversion_is_costly([image, image.astype(">f4")])
    assert not conversion_is_costly([1, 2, 3])
    assert conversion_is_costly([0.0] * 20_000)


def test_what_many_small_conversions_take_is_added_up():
    part = np.zeros((100, 300), np.float32).T  # 120 KB each

    assert conversion_is_costly([[0.0] * 1000] * 64)
    assert conversion_is_costly([[[0.0] * 10] * 10] * 1000)
    assert conversion_is_costly([[1]] * 20_000)
    assert not conversion_is_costly([[0.0] * 100] * 10)
    assert conversion_is_costly([part] * 20)
    assert not conversion_is_costly([part])
    endless = []
    endless.append(endless)
    assert not conversion_is_costly(endless)


@pytest.mark.parametrize(
    "shape", [(64, 1000), (2, 3, 5000), (10_000, 1), (3, 1, 1, 4097), (1, 4096), (5, 0), (2, 2)]
)
@pytest.mark.parametrize("dtype", ["f32", "i64"])
def test_nested_lists_of_any_depth_are_converted_whole_and_in_slices(shape, dtype, monkeypatch):
    numbers = np.arange(np.prod(shape)).reshape(shape)
    sizes = []
    convert = flat._convert

    def noting(part, expected, *rest):
        sizes.append(int(np.prod(expected)))
        return convert(part, expected, *rest)

    monkeypatch.setattr(flat, "_convert", noting)
    (wire,) = translate_tensors(numbers.tolist(), dtype, [numbers.size])

    assert wire.array.tolist() == numbers.ravel().tolist()
    assert max(sizes) <= flat._SLICE


@pytest.mark.parametrize("at", [1, 5000, 9999])
@pytest.mark.parametrize("wrong", [[1], [1, 2, 3], 7, [[1, 2]], "ab", [1, None]])
def test_a_list_that_is_ragged_far_behind_its_beginning_is_refused(at, wrong):
    rows = [[1, 2]] * 10_000
    rows[at] = wrong

    assert "input 0" in refused(rows, "i32", [10_000, 2])


@pytest.mark.parametrize("wrong", [[1] * 4999, 7, [[1]] * 5000])
def test_so_is_one_of_long_rows(wrong):
    assert "input 0" in refused([[1] * 5000, wrong], "i32", [2, 5000])


def test_arrays_in_nested_lists_are_rows():
    row = np.arange(5000)

    (wire,) = translate_tensors([[row, row], [row, row]], "i64", (4, 5000))

    assert np.array_equal(wire.array, np.array([row] * 4))


def test_lists_in_lists_have_a_limit():
    endless = []
    endless.append(endless)

    assert "deep" in refused(endless, "f32", [1])
