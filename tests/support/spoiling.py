"""Hypothesis strategies for edits that spoil bytes and texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Spoil", "spoilt_bytes", "spoilt_text", "with_last_bit_flipped"]

Content = TypeVar("Content", bytes, str)

# Where, as a fraction of the length; what happens there; with what, or over how much.
_Edit = tuple[float, str, bytes, int]

_OPERATIONS = ["flip", "insert", "overwrite", "delete", "repeat", "cut"]
_PIECES = [
    b"\x00", b"\xff", b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80", b"\xff\xff\xff\xff\x0f",
    b"\x30\x80", b"\x30\x84\xff\xff\xff\xff", b"\x1f", b"\x02\x01\x80", b"\x7f\xff\xff\xff",
]  # fmt: skip
_SCRAPS = [
    "{", "}", "[", "]" * 9, '"', "\\", "\\u0000", "\\ud800", "null", "true", "-1", "1e999",
    "0.5", "9" * 400, "[" * 300, '"a":1,"a":2,', "\n", "\r", "\x00", "\x1b[2J", "\u202e", "\ufeff",
    "\u017f", "-----BEGIN CERTIFICATE-----\n", "-----END CERTIFICATE-----\n", "=", "0x", "nan",
]  # fmt: skip


@dataclass(frozen=True)
class Spoil:
    """Edits, applied to bytes or text by calling it. What comes of text is always text."""

    edits: Sequence[_Edit]

    def __call__(self, content: Content) -> Content:
        if isinstance(content, bytes):
            return _apply(content, self.edits)
        return _apply(content.encode(), self.edits).decode("utf-8", "replace")


def with_last_bit_flipped(content: bytes) -> bytes:
    """The least that spoils a signature; a byte put there might be the one that was there."""
    return content[:-1] + bytes([content[-1] ^ 1])


def spoilt_bytes() -> st.SearchStrategy[Spoil]:
    """Edits of bytes: flips, cuts, insertions of what parsers stumble over."""
    return _edits(st.sampled_from(_PIECES) | st.binary(min_size=1, max_size=16))


def spoilt_text() -> st.SearchStrategy[Spoil]:
    """Edits of text, in the same ways."""
    scraps = st.sampled_from(_SCRAPS) | st.text(min_size=1, max_size=8)
    return _edits(scraps.map(lambda scrap: scrap.encode("utf-8", "surrogatepass")))


def _edits(pieces: st.SearchStrategy[bytes]) -> st.SearchStrategy[Spoil]:
    edit = st.tuples(
        st.floats(0, 1, exclude_max=True), st.sampled_from(_OPERATIONS), pieces, st.integers(1, 64)
    )
    return st.builds(Spoil, st.lists(edit, min_size=1, max_size=4))


def _apply(content: bytes, edits: Sequence[_Edit]) -> bytes:
    for where, operation, piece, size in edits:
        at = int(where * len(content))
        head, tail = content[:at], content[at:]
        match operation:
            case "flip" if tail:
                content = head + bytes([tail[0] ^ (1 << size % 8)]) + tail[1:]
            case "insert":
                content = head + piece + tail
            case "overwrite":
                content = head + piece + tail[len(piece) :]
            case "delete":
                content = head + tail[size:]
            case "repeat":
                content = head + tail[:size] * 3 + tail[size:]
            case "cut":
                content = head
    return content
