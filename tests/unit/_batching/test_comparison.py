"""Rounding is told from another answer, element by element."""

from __future__ import annotations

import numpy as np
import pytest

from blindai_async._batching.comparison import Tolerance, largest_difference, typical_magnitudes

DEFAULT = Tolerance(None, None)


def compared(got, wanted, tolerance=DEFAULT, typical=None):
    got, wanted = np.atleast_2d(got), np.atleast_2d(wanted)
    typical = typical_magnitudes([[wanted]]) if typical is None else [typical]
    return largest_difference([got], [wanted], tolerance, typical)


def test_equal_bits_and_two_nans_do_not_differ():
    row = np.array([1.0, np.nan, np.inf, -np.inf, 0.0], np.float32)

    assert compared(row, row.copy()) == (0.0, False)


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_a_number_in_the_place_of_none_differs(odd):
    one, other = np.array([odd], np.float32), np.array([1.0], np.float32)

    assert compared(one, other)[1]
    assert compared(other, one)[1]


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, np.bool_])
def test_whole_numbers_have_to_be_equal(dtype):
    assert compared(np.array([1], dtype), np.array([0], dtype))[1]


def test_rounding_passes_and_more_does_not():
    wanted = np.array([1.0, 1000.0], np.float32)

    assert not compared(wanted * np.float32(1 + 1e-6), wanted)[1]
    assert compared(wanted * np.float32(1 + 1e-4), wanted)[1]


def test_a_small_element_beside_a_large_one_is_judged_by_itself():
    wanted = np.array([1e-2, 1e6], np.float32)

    assert compared(wanted + np.array([1e-3, 0], np.float32), wanted)[1]


def test_a_sum_that_cancels_out_is_judged_by_its_terms():
    typical = np.array([100.0])

    assert not compared(np.float32([1e-3]), np.float32([2e-3]), typical=typical)[1]


def test_what_is_allowed_can_be_set():
    wanted = np.array([1.0], np.float32)

    assert not compared(wanted * np.float32(1.01), wanted, Tolerance(0.1, 0.0))[1]
    assert compared(wanted * np.float32(1 + 1e-6), wanted, Tolerance(0.0, 0.0))[1]
    assert compared(wanted * np.float32(1.01), wanted, Tolerance(0.1, 0.0, share=0.01))[1]


def test_an_outlier_does_not_make_others_typical():
    rows = np.array([[1.0], [1.0], [1e9], [np.inf], [1.0]], np.float32)

    assert typical_magnitudes([[rows]])[0].tolist() == [1.0]
