"""Lists of Python numbers -> an array of a given dtype, exactly or not at all."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from blindai_async._base_errors import TensorError
from blindai_async.tensors.dtypes import TABLE, ModelDatumType
from blindai_async.tensors.tensor import dtype_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

__all__ = ["array_from_list"]

# Elements converted at once: NumPy holds the interpreter's lock over a whole list, and a long one
# converted in a worker thread would still stop the event loop.
_SLICE = 16_384


def array_from_list(
    numbers: Sequence[Any], datum_type: ModelDatumType, dims: list[int], where: str
) -> npt.NDArray[Any]:
    """Convert a flat (or evenly nested) list to an array of `dims`.

    Floats become the nearest float of the type; everything else must fit exactly: NumPy's own
    conversion would cut 1.5 to 1 and, in its older versions, wrap 300 to 44.

    Raises:
        TensorError: a ragged list, another number of elements, or one that does not fit.
    """
    if numbers and isinstance(numbers[0], list | tuple):
        return _convert(numbers, datum_type, where, nested=dims).reshape(dims)
    if len(numbers) != prod(dims):
        raise TensorError(
            f"{where}: {len(numbers)} elements came, but shape {dims} takes {prod(dims)}"
        )
    array = np.empty(len(numbers), TABLE[datum_type].numpy)
    for start in range(0, len(numbers), _SLICE):
        array[start : start + _SLICE] = _convert(numbers[start : start + _SLICE], datum_type, where)
    return array.reshape(dims)


def _convert(
    numbers: Sequence[Any], datum_type: ModelDatumType, where: str, nested: list[int] | None = None
) -> npt.NDArray[Any]:
    try:
        source = np.asarray(numbers)
    except (ValueError, TypeError, OverflowError) as error:
        raise TensorError(
            f"{where}: a ragged list, or one of mixed things, came: {error}"
        ) from error
    if nested is not None and source.size != prod(nested):
        raise TensorError(
            f"{where}: {source.size} elements came, but shape {nested} takes {prod(nested)}"
        )
    if nested is None and source.ndim != 1:
        raise TensorError(
            f"{where}: numbers and lists are mixed; a flat list of numbers is expected"
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
