"""Changes to a tree of frozen pieces, named by paths: how a test says what is wrong."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["changed"]

Piece = TypeVar("Piece")


def changed(piece: Piece, changes: Mapping[str, object]) -> Piece:
    """Return the piece with other values at the given paths.

    Args:
        piece: a frozen dataclass, whose fields may be such pieces or tuples of them.
        changes: from a path of field names and tuple indices, such as `tcb_info.levels.0.status`,
            to the new value.

    Raises:
        ValueError: there is nothing at a path, or that very value is there: a mutation that
            mutates nothing would let a test pass that tests nothing.
    """
    for path, value in changes.items():
        piece = cast("Piece", _changed(piece, path.split("."), value, path))
    return piece


def _changed(piece: Any, steps: list[str], value: object, path: str) -> Any:
    step, *rest = steps
    old = _at(piece, step, path)
    new = _changed(old, rest, value, path) if rest else value
    if not rest and old == new:
        raise ValueError(f"{path} is {value!r} already")
    if isinstance(piece, tuple):
        index = int(step)
        return (*piece[:index], new, *piece[index + 1 :])
    return dataclasses.replace(piece, **{step: new})


def _at(piece: Any, step: str, path: str) -> Any:
    if isinstance(piece, tuple):
        if step.isdecimal() and int(step) < len(piece):
            return piece[int(step)]
    elif dataclasses.is_dataclass(piece):
        knobs = {field.name for field in dataclasses.fields(piece) if field.init}
        if step in knobs:
            return getattr(piece, step)
    raise ValueError(f"there is no {step!r} in {type(piece).__name__} to change ({path})")
