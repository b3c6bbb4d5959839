"""Lists of Python numbers -> an array of a given dtype, exactly or not at all."""

from __future__ import annotations

import time
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from blindai_async._base_errors import TensorError
from blindai_async.tensors.dtypes import TABLE, ModelDatumType
from blindai_async.tensors.tensor import dtype_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

__all__ = ["MAX_NESTING", "array_from_list"]

# Elements converted at once: NumPy holds the interpreter's lock over a whole list, and a long one
# converted in a worker thread would still stop the event loop.
_SLICE = 4096
# Elements after which other threads get the interpreter's lock. They would wait 5 ms otherwise.
_LONG = 1024

MAX_NESTING = 32  # NumPy's own limit before its version 2


def array_from_list(
    numbers: Sequence[Any], datum_type: ModelDatumType, dims: list[int], where: str
) -> npt.NDArray[Any]:
    """Convert a flat (or evenly nested) list to an array of `dims`.

    Floats become the nearest float of the type; everything else must fit exactly: NumPy's own
    conversion would cut 1.5 to 1 and, in its older versions, wrap 300 to 44.

    Raises:
        TensorError: a ragged list, another number of elements, or one that does not fit.
    """
    shape = _nesting(numbers, where)
    if prod(shape) != prod(dims):
        raise TensorError(
            f"{where}: {prod(shape)} elements came, but shape {dims} takes {prod(dims)}"
        )
    array = np.empty(prod(shape), TABLE[datum_type].numpy)
    _fill(array, numbers, shape, datum_type, where)
    return array.reshape(dims)


def _nesting(numbers: Sequence[Any], where: str) -> tuple[int, ...]:
    """The shape of a list, as far as its first elements tell."""
    shape: list[int] = []
    first: Any = numbers
    while isinstance(first, list | tuple):
        shape.append(len(first))
        if len(shape) > MAX_NESTING:
            raise TensorError(f"{where}: lists in lists, more than {MAX_NESTING} deep")
        if not first:
            break
        first = first[0]
    return *shape, *(first.shape if isinstance(first, np.ndarray) else ())


def _fill(
    array: npt.NDArray[Any],
    numbers: Sequence[Any],
    shape: tuple[int, ...],
    datum_type: ModelDatumType,
    where: str,
) -> None:
    """Convert a list of a given shape into a flat array, slice by slice."""
    inner = prod(shape[1:])
    if inner > _SLICE:
        for start, part in zip(range(0, array.size, inner), numbers, strict=True):
            if isinstance(part, list | tuple) and len(part) == shape[1]:
                _fill(array[start : start + inner], part, shape[1:], datum_type, where)
            else:  # an array, or what does not belong there
                converted = _convert(part, shape[1:], datum_type, where)
                array[start : start + inner] = converted.ravel()
        return
    step = max(1, _SLICE // max(1, inner))
    for start in range(0, len(numbers), step):
        part = numbers[start : start + step]
        converted = _convert(part, (len(part), *shape[1:]), datum_type, where)
        array[start * inner : (start + len(part)) * inner] = converted.ravel()
        if converted.size >= _LONG:
            time.sleep(0)  # lets go of the interpreter's lock


def _convert(
    numbers: Sequence[Any], shape: tuple[int, ...], datum_type: ModelDatumType, where: str
) -> npt.NDArray[Any]:
    try:
        source = np.asarray(numbers)
    except (ValueError, TypeError, OverflowError) as error:
        raise TensorError(
            f"{where}: a ragged list, or one of mixed things, came: {error}"
        ) from error
    if source.shape != shape:
        raise TensorError(
            f"{where}: a ragged list came, or numbers and lists are mixed: after the first "
            f"elements a shape of {list(shape)} was expected, not {list(source.shape)}"
        )
    target = TABLE[datum_type].numpy
    if source.size == 0:
        return source.astype(target)
    if not _fits(source, target):
        raise TensorError(
            f"{where}: the list's {_describe(source)} do not fit {dtype_name(datum_type)}"
        )
    return _cast(source, target, where)


def _fits(source: npt.NDArray[Any], target: np.dtype[Any]) -> bool:
    if source.dtype.kind not in "biuf":  # objects (huge integers, None), text, complex
        return False
    if target.kind == "f":
        return True
    if source.dtype.kind == "f":
        return False
    low, high = int(source.min()), int(source.max())
    if target.kind == "b":
        return low >= 0 and high <= 1
    limits = np.iinfo(target)
    return low >= int(limits.min) and high <= int(limits.max)


def _cast(source: npt.NDArray[Any], target: np.dtype[Any], where: str) -> npt.NDArray[Any]:
    with np.errstate(over="ignore"):
        cast = source.astype(target)
    if target.kind == "f" and bool(np.any(np.isinf(cast) & np.isfinite(source))):
        raise TensorError(f"{where}: a finite number in the list is too large for {target.name}")
    return cast


def _describe(source: npt.NDArray[Any]) -> str:
    if source.dtype.kind in "iub":
        return f"values from {int(source.min())} to {int(source.max())}"
    return {"f": "floats", "c": "complex numbers"}.get(source.dtype.kind, "elements (not numbers)")
