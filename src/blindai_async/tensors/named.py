"""Inputs by name: a mapping -> the order in which a model takes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from blindai_async._base_errors import TensorError

__all__ = ["OrderedInputs", "in_order", "input_order"]


class OrderedInputs(NamedTuple):
    """The `tensors`, `dtype` and `shape` of a call, each in the inputs' order."""

    tensors: Any
    dtype: Any
    shape: Any


def input_order(tensors: Mapping[str, Any], known: Sequence[str]) -> tuple[str, ...]:
    """Tell in which order a mapping's inputs go on the wire.

    Args:
        tensors: the inputs by name.
        known: the model's names in its order; empty where they are not known, and the mapping's
            own order counts.

    Raises:
        TensorError: a name that the model does not have, one that is missing, or one that is not
            text.
    """
    if not tensors:
        raise TensorError("the mapping of inputs is empty; a model takes at least one")
    for name in tensors:
        if not isinstance(name, str) or not name:
            raise TensorError(f"the input name {name!r} is not a non-empty text")
    if not known:
        return tuple(tensors)
    expected = ", ".join(map(repr, known))
    if unknown := [name for name in tensors if name not in known]:
        raise TensorError(f"the model has no input {unknown[0]!r}; its inputs are {expected}")
    if missing := [name for name in known if name not in tensors]:
        raise TensorError(f"the input {missing[0]!r} is missing; the model takes {expected}")
    return tuple(known)


def in_order(
    tensors: Any, dtype: Any = None, shape: Any = None, order: Sequence[str] | None = None
) -> OrderedInputs:
    """Turn inputs by name into a list; anything else passes as it is.

    Args:
        tensors: a mapping by name, or anything that `translate_tensors` takes.
        dtype: of each input by name, or what `translate_tensors` takes.
        shape: likewise.
        order: the names in order; the mapping's own where None.

    Raises:
        TensorError: `dtype` or `shape` is a mapping of other names than the inputs'.
    """
    if not isinstance(tensors, Mapping):
        return OrderedInputs(tensors, dtype, shape)
    names = input_order(tensors, ()) if order is None else order
    return OrderedInputs(
        [tensors[name] for name in names],
        _of_each("dtype", dtype, names),
        _of_each("shape", shape, names),
    )


def _of_each(what: str, given: Any, names: Sequence[str]) -> Any:
    if not isinstance(given, Mapping):
        return given
    if unknown := [name for name in given if name not in names]:
        raise TensorError(f"{what}: {unknown[0]!r} is not one of the inputs")
    return [given.get(name) for name in names]
