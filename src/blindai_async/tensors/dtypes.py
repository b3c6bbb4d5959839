"""The eleven datum types of the wire, in one table: wire number, name, NumPy type, width."""

from __future__ import annotations

import sys
from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np

from blindai_async._base_errors import TensorError

__all__ = [
    "TABLE",
    "WIRE_TYPES",
    "DatumTypeRow",
    "ModelDatumType",
    "dtype_to_numpy",
    "dtype_to_torch",
    "is_torch",
    "translate_dtype",
]


class ModelDatumType(IntEnum):
    """The element type of a tensor, numbered as on the wire (`DatumTypeEnum`)."""

    F32 = 0
    F64 = 1
    I32 = 2
    I64 = 3
    U32 = 4
    U64 = 5
    U8 = 6
    U16 = 7
    I8 = 8
    I16 = 9
    Bool = 10

    # Enum's own is a Python function over the name: slow in every look-up, and not the hash of the
    # integer that a member equals.
    __hash__ = int.__hash__


class DatumTypeRow(NamedTuple):
    """What the package knows of one datum type.

    Attributes:
        datum_type: its number on the wire.
        name: what NumPy and torch call it.
        numpy: the NumPy type of its bytes on the wire, always little-endian.
        size: bytes an element.
    """

    datum_type: ModelDatumType
    name: str
    numpy: np.dtype[Any]
    size: int


def _row(datum_type: ModelDatumType, name: str) -> DatumTypeRow:
    numpy = np.dtype(name).newbyteorder("<")
    return DatumTypeRow(datum_type, name, numpy, numpy.itemsize)


TABLE: dict[ModelDatumType, DatumTypeRow] = {
    datum_type: _row(datum_type, name)
    for datum_type, name in (
        (ModelDatumType.F32, "float32"),
        (ModelDatumType.F64, "float64"),
        (ModelDatumType.I32, "int32"),
        (ModelDatumType.I64, "int64"),
        (ModelDatumType.U32, "uint32"),
        (ModelDatumType.U64, "uint64"),
        (ModelDatumType.U8, "uint8"),
        (ModelDatumType.U16, "uint16"),
        (ModelDatumType.I8, "int8"),
        (ModelDatumType.I16, "int16"),
        (ModelDatumType.Bool, "bool"),
    )
}

# By the NumPy types whose memory is their wire form.
WIRE_TYPES = {row.numpy: row.datum_type for row in TABLE.values()}
_BY_TEXT = {row.name: row.datum_type for row in TABLE.values()} | {
    member.name.lower(): member for member in ModelDatumType
}
_KNOWN = ", ".join(row.name for row in TABLE.values())


def dtype_to_numpy(dtype: ModelDatumType) -> str:
    """Name the NumPy type of a datum type: "float32" for `ModelDatumType.F32`.

    Raises:
        TensorError: not a `ModelDatumType`.
    """
    return _table_row(dtype).name


def dtype_to_torch(dtype: ModelDatumType) -> str:
    """Name the torch type of a datum type, as an attribute of the module torch.

    torch has ``uint16``, ``uint32`` and ``uint64`` from version 2.3 on.

    Raises:
        TensorError: not a `ModelDatumType`.
    """
    return _table_row(dtype).name


def translate_dtype(dtype: Any) -> ModelDatumType:
    """Read a datum type from whatever names one.

    Args:
        dtype: a `ModelDatumType`, a NumPy dtype or scalar type (of any byte order), a torch dtype,
            or text in any case: ``"float32"``, ``"F32"``, ``"torch.float32"``.

    Raises:
        TensorError: no datum type of the wire (float16 and complex among them).
    """
    if isinstance(dtype, ModelDatumType):
        return dtype
    if isinstance(dtype, np.dtype):
        return _from_numpy(dtype)
    if isinstance(dtype, str):
        found = _BY_TEXT.get(dtype.strip().lower().removeprefix("torch."))
        if found is None:
            raise TensorError(f"dtype {dtype!r} has no place on the wire; it takes {_KNOWN}")
        return found
    if is_torch(dtype, "dtype"):
        return translate_dtype(str(dtype))
    if dtype is bool or (isinstance(dtype, type) and issubclass(dtype, np.generic)):
        return _from_numpy(np.dtype(dtype))
    raise TensorError(
        f"{dtype!r} ({type(dtype).__name__}) does not name a dtype; pass a ModelDatumType, a NumPy "
        f"or torch dtype, or one of: {_KNOWN}"
    )


def is_torch(thing: object, class_name: str) -> bool:
    """Tell whether `thing` is an instance of ``torch.<class_name>``, without importing torch.

    Whoever holds a torch object has imported torch, so that an absent module answers for itself.
    """
    torch = sys.modules.get("torch")
    cls = getattr(torch, class_name, None)
    return isinstance(cls, type) and isinstance(thing, cls)


def _from_numpy(dtype: np.dtype[Any]) -> ModelDatumType:
    found = WIRE_TYPES.get(dtype)
    if found is None:
        found = WIRE_TYPES.get(dtype.newbyteorder("<"))
    if found is None:
        raise TensorError(f"NumPy dtype {dtype} has no place on the wire; it takes {_KNOWN}")
    return found


def _table_row(dtype: ModelDatumType) -> DatumTypeRow:
    if not isinstance(dtype, ModelDatumType):
        raise TensorError(f"{dtype!r} is not a ModelDatumType; translate_dtype() reads other names")
    return TABLE[dtype]
