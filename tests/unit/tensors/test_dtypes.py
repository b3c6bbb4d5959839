"""Names of datum types, as callers write them."""

import numpy as np
import pytest

from blindai_async._pb import securedexchange_pb2 as pb
from blindai_async.errors import TensorError
from blindai_async.tensors import (
    ModelDatumType,
    dtype_to_numpy,
    dtype_to_torch,
    translate_dtype,
)

EVERY = list(ModelDatumType)


def test_the_numbers_are_those_of_the_wire():
    wire = {name: number for name, number in pb.DatumTypeEnum.items() if number >= 0}

    assert {member.name: member.value for member in ModelDatumType} == wire


@pytest.mark.parametrize("datum_type", EVERY, ids=lambda d: d.name)
def test_every_spelling_of_a_type_is_understood(datum_type):
    name = dtype_to_numpy(datum_type)
    spellings = [
        datum_type,
        datum_type.name,
        datum_type.name.lower(),
        name,
        name.upper(),
        f" torch.{name} ",
        np.dtype(name),
        np.dtype(name).type,
        np.dtype(name).newbyteorder(">"),
    ]

    assert {translate_dtype(spelling) for spelling in spellings} == {datum_type}
    assert dtype_to_torch(datum_type) == name


@pytest.mark.parametrize(
    "bad",
    ["float16", "complex64", "", np.dtype("f2"), np.dtype("U3"), np.float16, None, 3, object()],
)
def test_what_is_no_type_of_the_wire_is_refused(bad):
    with pytest.raises(TensorError, match=r"(no place on the wire|does not name a dtype)"):
        translate_dtype(bad)


def test_a_number_is_not_mistaken_for_a_datum_type():
    with pytest.raises(TensorError, match="not a ModelDatumType"):
        dtype_to_numpy(0)
    with pytest.raises(TensorError, match="not a ModelDatumType"):
        dtype_to_torch("float32")
