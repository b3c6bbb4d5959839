"""Inputs by name, put in order."""

from __future__ import annotations

import numpy as np
import pytest

from blindai_async.errors import TensorError
from blindai_async.tensors import translate_tensors
from blindai_async.tensors.named import in_order, input_order

A, B = np.zeros(1, np.float32), np.ones(1, np.float32)


def test_what_is_no_mapping_passes_as_it_is():
    for tensors in (A, [A, B], [1.0, 2.0]):
        assert in_order(tensors, "float32", [1]) == (tensors, "float32", [1])


def test_a_mapping_becomes_a_list_with_its_dtypes_and_shapes():
    ordered = in_order({"b": [1], "a": A}, {"b": "int8"}, {"b": [1]}, ("a", "b"))
    assert ordered == ([A, [1]], [None, "int8"], [None, [1]])
    assert [each.array.tolist() for each in translate_tensors(*ordered)] == [[0.0], [1]]
    assert in_order({"b": B, "a": A}).tensors == [B, A]
    assert in_order({"a": [1]}, "int8", [1]) == ([[1]], "int8", [1])


def test_an_archive_of_numpy_is_a_mapping(tmp_path):
    np.savez(tmp_path / "x.npz", a=A, b=B)
    with np.load(tmp_path / "x.npz") as archive:
        tensors = in_order(archive, order=("b", "a")).tensors
    assert [each.tolist() for each in tensors] == [[1.0], [0.0]]


@pytest.mark.parametrize("what", ["dtype", "shape"])
def test_facts_of_a_name_that_is_no_input_are_refused(what):
    with pytest.raises(TensorError, match=f"{what}: 'c' is not one of the inputs"):
        in_order({"a": A}, **{what: {"c": "int8"}})


def test_the_models_order_counts_where_it_is_known():
    assert input_order({"b": B, "a": A}, ("a", "b")) == ("a", "b")
    assert input_order({"b": B, "a": A}, ()) == ("b", "a")
    for wrong, words in (
        ({}, "empty"),
        ({"": A}, "non-empty text"),
        ({"a": A}, "'b' is missing"),
        ({"a": A, "b": B, "c": B}, "no input 'c'"),
    ):
        with pytest.raises(TensorError, match=words):
            input_order(wrong, ("a", "b"))
