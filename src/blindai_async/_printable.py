"""Text from outside, cut down to what may stand in a log, a message or a terminal."""

from __future__ import annotations

_MAX_LENGTH = 500


def printable(text: str, limit: int = _MAX_LENGTH) -> str:
    """Show text from a peer as one line: no control characters, not too long.

    A hostile peer could otherwise forge log lines or drive a terminal.
    """
    shown = "".join(c if c.isprintable() else " " for c in text[: limit + 1])
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"
