"""Saying no: the one exception that becomes a gRPC status, and what its text may hold."""

from __future__ import annotations

import re

import grpc

__all__ = ["RefusalError", "incompatible_input", "invalid_argument", "status_text", "unknown"]

_MAX_DETAILS = 500
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]+")
# An absolute path, with the line number that ONNX Runtime puts behind those of its sources.
_PATH = re.compile(r"(?<![\w.])(?:[A-Za-z]:)?[/\\][\w.+@-]+(?:[/\\][\w.+@-]+)+(?::\d+)?")


class RefusalError(Exception):
    """A request that the server answers with an error status.

    Attributes:
        code: the gRPC status.
        details: the text the peer gets. It must hold no secret and no path of this machine.
    """

    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        super().__init__(code, details)
        self.code = code
        self.details = details


def invalid_argument(details: str) -> RefusalError:
    """The request itself is wrong."""
    return RefusalError(grpc.StatusCode.INVALID_ARGUMENT, details)


def unknown(details: str) -> RefusalError:
    """What 0.5 servers say for everything that their model runtime refuses."""
    return RefusalError(grpc.StatusCode.UNKNOWN, details)


def incompatible_input(details: str) -> RefusalError:
    """A tensor that the model does not take."""
    return unknown(f"Incompatible tensor input: {details}")


def status_text(text: object) -> str:
    """One short line of ASCII without file paths, fit to leave this machine in a status."""
    line = _UNPRINTABLE.sub(" ", _PATH.sub("", str(text))).strip()
    return line if len(line) <= _MAX_DETAILS else line[: _MAX_DETAILS - 3] + "..."
