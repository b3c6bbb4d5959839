"""Whatever a caller passes as tensors -> arrays that can go on the wire as they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from blindai_async._base_errors import TensorError
from blindai_async.tensors.dtypes import (
    TABLE,
    WIRE_TYPES,
    ModelDatumType,
    is_torch,
    translate_dtype,
)
from blindai_async.tensors.flat import MAX_NESTING, array_from_list
from blindai_async.tensors.tensor import Tensor, dtype_name

__all__ = ["DtypeLike", "InputTensor", "ShapeLike", "conversion_is_costly", "translate_tensors"]

DtypeLike: TypeAlias = Any
ShapeLike: TypeAlias = Sequence[int]

_MAX_DIM = 2**31 - 1  # dims are int32 on the wire

_COSTLY_BYTES = 1 << 20  # copied in a fraction of a millisecond
_COSTLY_LENGTH = 16_384  # Python numbers, converted in about a millisecond


class InputTensor(NamedTuple):
    """One input, ready for the wire.

    Attributes:
        array: little-endian and C-contiguous, so that its memory is its wire form.
        datum_type: its element type.
        shape: its shape.
    """

    array: npt.NDArray[Any]
    datum_type: ModelDatumType
    shape: list[int]


def translate_tensors(
    tensors: Any,
    dtypes: DtypeLike | Sequence[DtypeLike] | None = None,
    shapes: ShapeLike | Sequence[ShapeLike] | None = None,
) -> list[InputTensor]:
    """Turn the `tensors`, `dtype` and `shape` of a call into arrays that can be sent.

    Args:
        tensors: one input, or a list or tuple of several. An input is a NumPy array of any layout,
            a torch tensor, a `Tensor` of an earlier reply, anything with ``__array__``, or a flat
            list of numbers. A list of numbers is one input; a list of arrays or of lists is
            several (one nested list is one input where `shapes` is a single shape).
        dtypes: of each input, or one for all. Needed for lists of numbers; an array has its own,
            and one given beside it must be the same.
        shapes: of each input, or a single shape. Needed for lists of numbers.

    Returns:
        One ``(array, datum_type, shape)`` an input. An array that already has the wire's layout
        is passed on without a copy.

    Raises:
        TensorError: what has no place on the wire; it names the input's position, what came and
            what was expected.
    """
    if type(tensors) is np.ndarray and dtypes is None and shapes is None:
        return [_from_array(tensors, 0)]  # what nearly every call is
    inputs, dtypes_, shapes_ = _split(tensors, dtypes, shapes)
    return [
        _translate(tensor, dtype, shape, position)
        for position, (tensor, dtype, shape) in enumerate(
            zip(inputs, dtypes_, shapes_, strict=True)
        )
    ]


def _split(
    tensors: Any, dtypes: Any, shapes: Any
) -> tuple[Sequence[Any], Sequence[Any], Sequence[Any]]:
    """One entry an input, with its dtype and its shape, or None where none was given."""
    single_shape = _is_shape(shapes)
    several = (
        isinstance(tensors, list | tuple)
        and len(tensors) > 0
        and not _is_number(tensors[0])
        and not (single_shape and isinstance(tensors[0], list | tuple))
    )
    inputs = list(tensors) if several else [tensors]
    if not isinstance(dtypes, list | tuple):
        dtypes = [dtypes] * len(inputs)
    if shapes is None:
        shapes = [None] * len(inputs)
    elif single_shape:
        shapes = [shapes]
    for name, given in (("dtype", dtypes), ("shape", shapes)):
        if not isinstance(given, list | tuple) or len(given) != len(inputs):
            count = len(given) if isinstance(given, list | tuple) else repr(given)
            raise TensorError(
                f"{name}: {count} given for {len(inputs)} input(s); one each is needed"
            )
    return inputs, dtypes, shapes


def _is_number(thing: Any) -> bool:
    return isinstance(thing, bool | int | float | np.generic) or (
        # The wire has no complex numbers and no text, but a list of them is one (bad) input.
        isinstance(thing, complex | str | bytes) or thing is None
    )


def _is_shape(shapes: Any) -> bool:
    if isinstance(shapes, list | tuple):
        return all(isinstance(dim, int | np.integer) for dim in shapes)
    return is_torch(shapes, "Size")


def _translate(tensor: Any, dtype: Any, shape: Any, position: int) -> InputTensor:
    where = f"input {position}"
    expected = None if dtype is None else translate_dtype(dtype)
    dims = None if shape is None else _check_dims(shape, where)
    if isinstance(tensor, list | tuple):
        if expected is None or dims is None:
            missing = "dtype" if expected is None else "shape"
            raise TensorError(
                f"{where}: a list of numbers came without a {missing}; pass {missing}="
            )
        array = array_from_list(tensor, expected, dims, where)
        return InputTensor(array, expected, dims)
    ready = _from_array(_as_array(tensor, where), position)
    if expected not in (None, ready.datum_type):
        raise TensorError(
            f"{where}: an array of {dtype_name(ready.datum_type)} came, "
            f"but dtype says {dtype_name(expected)}"
        )
    if dims not in (None, ready.shape):
        raise TensorError(f"{where}: an array of shape {ready.shape} came, but shape says {dims}")
    return ready


def _from_array(array: npt.NDArray[Any], position: int) -> InputTensor:
    datum_type = WIRE_TYPES.get(array.dtype)
    if datum_type is None or not array.flags.c_contiguous:
        try:
            datum_type = translate_dtype(array.dtype)
        except TensorError as error:
            raise TensorError(f"input {position}: {error}") from None
        array = np.asarray(array, dtype=TABLE[datum_type].numpy, order="C")
    shape = list(array.shape)
    if shape and max(shape) > _MAX_DIM:
        raise TensorError(f"input {position}: shape {shape} has a dimension above {_MAX_DIM}")
    return InputTensor(array, datum_type, shape)


def _check_dims(shape: Any, where: str) -> list[int]:
    if not _is_shape(shape) and not isinstance(shape, tuple):
        raise TensorError(f"{where}: {shape!r} is not a shape; a list of non-negative integers is")
    dims = [int(dim) for dim in shape]
    if any(not 0 <= dim <= _MAX_DIM for dim in dims):
        raise TensorError(f"{where}: shape {dims} has a dimension outside 0..{_MAX_DIM}")
    return dims


def _as_array(tensor: Any, where: str) -> npt.NDArray[Any]:
    if type(tensor) is np.ndarray:
        return tensor
    if isinstance(tensor, np.ma.MaskedArray):
        raise TensorError(
            f"{where}: a masked array came; its mask has no place on the wire, fill it"
        )
    if isinstance(tensor, np.ndarray | np.generic):
        return np.asarray(tensor)
    if isinstance(tensor, Tensor):
        return tensor.as_numpy()
    if is_torch(tensor, "Tensor"):
        return _from_torch(tensor, where)
    if hasattr(tensor, "__array__"):
        return np.asarray(tensor)
    raise TensorError(
        f"{where}: {type(tensor).__name__} came; pass a NumPy array, a torch tensor or a flat list"
    )


def _from_torch(tensor: Any, where: str) -> npt.NDArray[Any]:
    try:
        translate_dtype(tensor.dtype)
        array: npt.NDArray[Any] = tensor.detach().resolve_neg().cpu().numpy()
    except (TensorError, TypeError, RuntimeError) as error:  # float16; sparse; quantized
        raise TensorError(f"{where}: this torch tensor cannot be sent: {error}") from error
    return array


def conversion_is_costly(tensors: Any) -> bool:
    """Tell whether `translate_tensors` would hold its thread for more than a few milliseconds.

    What several inputs, or the lists in a list, take is added up.
    """
    return _cost(tensors, enough=1.0) > 1


def _cost(tensors: Any, enough: float, depth: int = 0) -> float:
    """What a conversion takes, where 1 is the most that the event loop may do; cut at `enough`."""
    if isinstance(tensors, np.ndarray):
        as_it_is = tensors.flags.c_contiguous and tensors.dtype.isnative
        return 0.0 if as_it_is else tensors.nbytes / _COSTLY_BYTES
    if not isinstance(tensors, list | tuple):
        costly = is_torch(tensors, "Tensor") and not tensors.is_contiguous()
        return tensors.nbytes / _COSTLY_BYTES if costly else 0.0
    cost = len(tensors) / _COSTLY_LENGTH
    if not tensors or _is_number(tensors[0]) or depth > MAX_NESTING:
        return cost
    for tensor in tensors:
        if cost > enough:
            break
        cost += _cost(tensor, enough - cost, depth + 1)
    return cost
