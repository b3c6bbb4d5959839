"""Quotes of a TDX guest, through the kernel's configfs-tsm interface (Linux 6.7 and later).

A request is a directory: it is made, 64 bytes are written to its ``inblob``, the quote is read from
its ``outblob``, and it is removed. The kernel counts the writes in ``generation``: where it differs
from what was expected, somebody else has written too, and the quote is about their bytes.

Source: Linux, Documentation/ABI/testing/configfs-tsm and drivers/virt/coco (tsm.c, tdx-guest.c).
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from blindai_async.server.tee.device_files import read_text, read_whole, write_at_once
from blindai_async.server.tee.errors import TeeError
from blindai_async.server.tee.platform import require_report_data

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["TSM_ROOT", "ConfigfsTsm"]

_logger = logging.getLogger("blindai_async.server")

TSM_ROOT: Final = "/sys/kernel/config/tsm/report"
"""Where the kernel has the interface, once configfs is mounted."""

_PROVIDER: Final = "tdx_guest"
_MAX_QUOTE: Final = 32 * 1024
"""The longest report that the kernel's interface gives, of any provider."""
_ATTEMPTS: Final = 8
_FIRST_WAIT: Final = 0.05
"""Seconds before the second attempt, doubled before each further one: six in all."""
# EBUSY: an earlier request is still with the host. EINTR, EAGAIN: it was not begun, or not ended.
_PASSING: Final = frozenset({errno.EBUSY, errno.EINTR, errno.EAGAIN})


class _ConflictError(Exception):
    """Others have written to our request."""


class ConfigfsTsm:
    """Quotes of the TDX guest that this process runs in.

    Each quote is a request of its own, under a name that nobody else knows. What passes (the host
    is busy, others have interfered) is tried again a bounded number of times.

    Args:
        root: the directory in which requests are made.
        attempts: how often a quote is asked for before an error is raised.
        wait: seconds before the second attempt, doubled before each further one.
    """

    tee: Literal["tdx"] = "tdx"

    def __init__(
        self,
        root: str | os.PathLike[str] = TSM_ROOT,
        *,
        attempts: int = _ATTEMPTS,
        wait: float = _FIRST_WAIT,
    ) -> None:
        if attempts < 1:
            raise ValueError(f"attempts is {attempts}; at least one is needed")
        self._root = Path(root)
        self._attempts = attempts
        self._wait = wait

    def __repr__(self) -> str:
        return f"ConfigfsTsm({os.fspath(self._root)!r})"

    def check(self) -> None:
        """Find out whether quotes can be asked for, without asking for one.

        Raises:
            TeeError: there is no such interface, it is not for this user, or not TDX's.
        """
        try:
            with self._request():
                pass
        except OSError as error:
            raise self._explained(error) from error

    def collateral(self) -> None:
        """The kernel has none to give."""

    def quote(self, report_data: bytes) -> bytes:
        """Ask for a quote over 64 bytes; takes tens of milliseconds, or seconds while it is busy.

        Raises:
            TeeError: there is none to be had.
            ValueError: these are not 64 bytes.
        """
        require_report_data(report_data)
        for attempt in range(self._attempts):
            if attempt:
                time.sleep(self._wait * 2 ** (attempt - 1))
            try:
                with self._request() as request:
                    return _quote(request, report_data)
            except _ConflictError:
                problem = TeeError(
                    f"others have written to our requests in {self._root}, "
                    f"{self._attempts} times in a row; find out which process does so",
                    reason="conflict",
                    tee="tdx",
                )
            except OSError as error:
                problem = self._explained(error)
                if error.errno not in _PASSING:
                    raise problem from error
        raise problem

    @contextlib.contextmanager
    def _request(self) -> Iterator[Path]:
        """A new request of TDX's, removed at the end."""
        path = self._root / f"blindai-{os.getpid()}-{secrets.token_hex(8)}"
        path.mkdir(mode=0o700)
        try:
            self._require_tdx(path)
            yield path
        finally:
            try:
                path.rmdir()
            except OSError as error:
                _logger.warning("%s stays behind: %s", path, error.strerror)

    def _require_tdx(self, request: Path) -> None:
        provider = read_text(request / "provider")
        if provider != _PROVIDER:
            raise TeeError(
                f"{self._root} gives reports of {provider[:64]!a}, not of {_PROVIDER!r}: this "
                "machine is no TDX guest; run the server in a TDX guest, or in Gramine with SGX",
                reason="unsupported",
            )

    def _explained(self, error: OSError) -> TeeError:
        """Say what the kernel's error means here, and what to do."""
        root, code = self._root, error.errno
        if code in {errno.ENOENT, errno.ENOTDIR, errno.ENXIO, errno.ENOTTY}:
            return TeeError(
                f"{root} gives no quotes ({error.strerror}): either this machine is no TDX guest, "
                "or its kernel is older than Linux 6.7, configfs is not mounted (mount -t configfs "
                "none /sys/kernel/config), or the module tdx_guest is not loaded",
                reason="missing",
            )
        if code in {errno.EACCES, errno.EPERM, errno.EROFS}:
            return TeeError(
                f"this user may not ask for quotes in {root} ({error.strerror}): run as root, with "
                "the directory writable (a container has to be given it)",
                reason="permission",
            )
        if code in _PASSING:
            return TeeError(
                f"the host is busy with another quote ({error.strerror}), after "
                f"{self._attempts} attempts; try again later, and restart the guest if it stays so",
                reason="busy",
                tee="tdx",
            )
        if code == errno.EFBIG:
            return TeeError(
                f"the quote is larger than the kernel's interface passes on ({error.strerror}); "
                "update the guest's kernel",
                reason="failed",
                tee="tdx",
            )
        return TeeError(
            f"the kernel gives no quote ({error.strerror or error}); look at the guest's kernel "
            "log, and whether the host runs its quote generation service (qgsd)",
            reason="failed",
            tee="tdx",
        )


def _quote(request: Path, report_data: bytes) -> bytes:
    """Make one request.

    Raises:
        _ConflictError: the quote may be about other bytes.
        OSError: the kernel refuses.
    """
    before = _generation(request)
    write_at_once(request / "inblob", report_data)
    quote = read_whole(request / "outblob", _MAX_QUOTE)
    after = _generation(request)
    # One write was made. The kernel does not report one that it drops: then there is none.
    if after != before + 1 or report_data not in quote:
        raise _ConflictError
    return quote


def _generation(request: Path) -> int:
    text = read_text(request / "generation")
    if not text.isdecimal():
        raise OSError(errno.EIO, f"generation is {text[:64]!a}, not a number")
    return int(text)
