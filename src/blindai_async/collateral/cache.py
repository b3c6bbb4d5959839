"""What was fetched, kept in memory and on disk until a newer one is due."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import re
import stat
import tempfile
import time
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Final

from anyio import to_thread

from blindai_async.attestation.parsing import MAX_CRL_CHARS, EvidenceError

if TYPE_CHECKING:
    from blindai_async.collateral.parts import Part, PartReader
    from blindai_async.collateral.services import Request

__all__ = ["CachedPart", "PartCache", "now"]

log: logging.Logger = logging.getLogger("blindai_async")

_MAX_PARTS: Final = 512
_MAX_FILE_BYTES: Final = 2 * MAX_CRL_CHARS
_NOT_IN_NAMES: Final = re.compile(r"[^a-z0-9]+")
_NEVER: Final = float("-inf")


def now() -> datetime:
    """The time by which parts expire."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class CachedPart:
    """A part, and when this process fetched it.

    Attributes:
        part: the part.
        fetched_at: by the monotonic clock; long ago where it is from disk.
    """

    part: Part
    fetched_at: float


class PartCache:
    """Parts by the URL that they were fetched from, each until a newer one is due.

    An entry on disk is one file, replaced at once or not at all, so that any number of processes
    may share a directory. Like an answer from the network it is trusted for nothing: what is read
    from disk is checked in the same way, and is as good as absent where it does not hold.

    Args:
        directory: where parts are kept on disk; None keeps them in memory alone.
    """

    def __init__(self, directory: str | os.PathLike[str] | None) -> None:
        self._directory = None if directory is None else Path(directory).expanduser()
        self._parts: OrderedDict[str, CachedPart] = OrderedDict()
        self._lock = Lock()  # clients are shared by event loops in several threads

    async def get(self, request: Request, read: PartReader) -> CachedPart | None:
        """Find a part that is still valid.

        Raises:
            OSError: the directory or a file in it cannot be read.
            PermissionError: others may write to the directory.
        """
        with self._lock:
            found = self._parts.get(request.url)
            if found is not None:
                self._parts.move_to_end(request.url)
        if found is None and self._directory is not None:
            part = await to_thread.run_sync(self._read, self._directory, request, read)
            found = None if part is None else self._remember(request, CachedPart(part, _NEVER))
        if found is None or not found.part.valid_from <= now() <= found.part.valid_until:
            return None
        return found

    async def put(self, request: Request, part: Part) -> CachedPart:
        """Keep a part; where the disk does not take it, in memory alone."""
        kept = self._remember(request, CachedPart(part, time.monotonic()))
        if self._directory is not None:
            try:
                await to_thread.run_sync(_write, self._directory, request, part)
            except OSError as error:
                log.warning("collateral could not be kept in %s: %s", self._directory, error)
        return kept

    def _remember(self, request: Request, entry: CachedPart) -> CachedPart:
        with self._lock:
            self._parts[request.url] = entry
            self._parts.move_to_end(request.url)
            # The host's quote chooses what is asked for: it must not choose how much is kept.
            while len(self._parts) > _MAX_PARTS:
                self._parts.popitem(last=False)
        return entry

    @staticmethod
    def _read(directory: Path, request: Request, read: PartReader) -> Part | None:
        _make_private(directory)
        try:
            with (directory / _file_name(request)).open("rb") as file:
                content = json.loads(file.read(_MAX_FILE_BYTES))
            # A hash in the name may be made to collide; the URL itself may not.
            if content["url"] != request.url:
                return None
            return read(content["text"].encode(), content["issuer_chain"])
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, EvidenceError):
            return None  # cut off, overwritten, or of another version: it is fetched anew


def _write(directory: Path, request: Request, part: Part) -> None:
    _make_private(directory)
    content = {"url": request.url, "text": part.text, "issuer_chain": part.issuer_chain}
    # mkstemp makes the file with mode 0600, whatever the umask.
    descriptor, name = tempfile.mkstemp(prefix=".new-", dir=directory)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            json.dump(content, file)
        temporary.replace(directory / _file_name(request))
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        raise


def _file_name(request: Request) -> str:
    words = _NOT_IN_NAMES.sub("-", request.part.lower().removeprefix("the ")).strip("-")
    return f"{words}-{hashlib.sha256(request.url.encode()).hexdigest()[:32]}.json"


def _make_private(directory: Path) -> None:
    """Make the directory, and refuse one that others may write to.

    They could not forge a part, but put an older one there that is still valid, from before a weak
    patch level was known.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    mode = stat.S_IMODE(directory.stat().st_mode)
    if os.name == "posix" and mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise PermissionError(
            f"cache_dir {directory} has mode {mode:04o}: others may write to it; chmod 700 it"
        )
