"""Files that stand for a device: read to their end within a bound, written in one piece."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["read_text", "read_whole", "write_at_once"]

_MAX_TEXT = 4096


def read_whole(path: Path, limit: int) -> bytes:
    """Read a file to its end.

    Raises:
        OSError: it cannot be read, or has more than `limit` bytes (EFBIG).
    """
    # Not by a file object: it takes EAGAIN for the end.
    descriptor = os.open(path, os.O_RDONLY)
    try:
        content = bytearray()
        while chunk := os.read(descriptor, limit + 1 - len(content)):
            content += chunk
            if len(content) > limit:
                raise OSError(errno.EFBIG, f"{path.name} has more than {limit} bytes")
    finally:
        os.close(descriptor)
    return bytes(content)


def read_text(path: Path) -> str:
    """Read a short line of ASCII; what is none comes as replacement characters."""
    return read_whole(path, _MAX_TEXT).decode("ascii", "replace").strip()


def write_at_once(path: Path, content: bytes) -> None:
    """Write to a file that is there, by one call: a part of it may mean something else.

    Raises:
        OSError: it cannot be written, or did not take all (EIO).
    """
    descriptor = os.open(path, os.O_WRONLY)
    try:
        if os.write(descriptor, content) != len(content):
            raise OSError(errno.EIO, f"{path.name} did not take {len(content)} bytes")
    finally:
        os.close(descriptor)
