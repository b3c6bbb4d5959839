"""Files that hold secrets: written whole or not at all, and readable by their owner only."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["check_private", "write_private", "write_public"]


def write_private(path: Path, *parts: bytes) -> None:
    """Write a file of mode 0600 atomically: a crash leaves the old content or the new one."""
    _write(path, parts, 0o600)


def write_public(path: Path, content: bytes) -> None:
    """Write a file that everybody may read, atomically."""
    _write(path, (content,), 0o644)


def check_private(path: Path) -> None:
    """Refuse a secret that others may read.

    Raises:
        FileNotFoundError: there is no such file.
        PermissionError: its mode lets others in.
    """
    mode = stat.S_IMODE(path.stat().st_mode)
    if os.name == "posix" and mode & 0o077:
        raise PermissionError(f"{path} has mode {mode:04o}; others may read it. Set it to 0600")


def _write(path: Path, parts: Iterable[bytes], mode: int) -> None:
    # mkstemp makes the file with mode 0600, whatever the umask: no moment in which others can
    # open it.
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name[:16]}.", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.writelines(parts)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(mode)
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        raise
    _sync_directory(path.parent)


def _sync_directory(directory: Path) -> None:
    """Make the rename last through a power failure, where the system can do so."""
    if os.name != "posix":
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
