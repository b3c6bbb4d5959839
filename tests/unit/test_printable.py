"""Text from a peer as one short line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blindai_async._printable import printable


@given(st.text(max_size=700))
def test_printable_text_is_one_line_and_bounded(text):
    shown = printable(text)
    assert shown == "" or shown.isprintable()
    assert len(shown) <= 500
    if text.isprintable() and len(text) <= 500:
        assert shown == text


@pytest.mark.parametrize(
    "bad", ["\n", "\r", "\x1b", "\x07", "\x00", "\x7f", "\x9b", "\u202e", "\u2028", "\ud800"]
)
def test_nothing_that_moves_a_terminal_or_begins_a_line_passes(bad):
    assert printable(f"a{bad}b") == "a b"


def test_long_text_is_cut_and_says_so():
    assert printable("a" * 501) == "a" * 499 + "…"
    assert printable("a" * 500) == "a" * 500
    assert printable("abcdef", limit=4) == "abc…"
