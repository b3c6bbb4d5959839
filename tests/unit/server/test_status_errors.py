"""What the text of a status may hold."""

from __future__ import annotations

import pickle

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blindai_async.server.status_errors import (
    incompatible_input,
    invalid_argument,
    status_text,
    unknown,
)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("plain words, 1/2 of them", "plain words, 1/2 of them"),
        ("at /onnxruntime_src/core/session.cc:59 (int x)", "at  (int x)"),
        ("open file '/home/someone/key.pem' failed", "open file '' failed"),
        (r"open C:\Users\me\key.pem failed", "open  failed"),
        ("two\nlines\x1b[31m", "two lines [31m"),
        ("", ""),
    ],
)
def test_a_line_has_neither_paths_nor_control_characters(text, line):
    assert status_text(text) == line


@given(st.text())
def test_any_text_becomes_one_short_printable_line(text):
    line = status_text(text * 50)
    assert len(line) <= 500
    assert line.isascii()
    assert line.isprintable() or not line


def test_refusals_carry_the_status_of_the_wire_document():
    assert invalid_argument("x").code is grpc.StatusCode.INVALID_ARGUMENT
    assert unknown("x").code is grpc.StatusCode.UNKNOWN
    assert incompatible_input("x").details == "Incompatible tensor input: x"


def test_a_refusal_survives_pickling():
    copy = pickle.loads(pickle.dumps(unknown("x")))
    assert (copy.code, copy.details) == (grpc.StatusCode.UNKNOWN, "x")
