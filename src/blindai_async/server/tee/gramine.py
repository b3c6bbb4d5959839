"""Quotes of the SGX enclave that Gramine runs this process in, through ``/dev/attestation``.

64 bytes are written to ``user_report_data``, then ``quote`` is read. ``attestation_type`` says
whether the manifest has switched that on.

Source: Gramine's documentation, "Attestation and Secret Provisioning" and "Manifest syntax".
"""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path
from typing import Final, Literal

from blindai_async.server.tee.device_files import read_text, read_whole, write_at_once
from blindai_async.server.tee.errors import TeeError
from blindai_async.server.tee.platform import require_report_data

__all__ = ["ATTESTATION_ROOT", "Gramine"]

ATTESTATION_ROOT: Final = "/dev/attestation"
"""Where Gramine shows its files to what runs in it."""

_DCAP: Final = "dcap"
_MAX_QUOTE: Final = 64 * 1024
_MANIFEST: Final = 'set sgx.remote_attestation = "dcap" in the manifest, and sign it anew'


class Gramine:
    """Quotes of the enclave that this process runs in.

    Args:
        root: the directory that holds Gramine's files.
    """

    tee: Literal["sgx"] = "sgx"

    def __init__(self, root: str | os.PathLike[str] = ATTESTATION_ROOT) -> None:
        self._root = Path(root)
        # The report data belong to the process: another thread's would get into our quote.
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"Gramine({os.fspath(self._root)!r})"

    def check(self) -> None:
        """Find out whether quotes can be asked for, without asking for one.

        Raises:
            TeeError: this process does not run in Gramine with SGX and DCAP.
        """
        try:
            kind = read_text(self._root / "attestation_type")
        except OSError as error:
            raise self._explained(error) from error
        if kind != _DCAP:
            raise TeeError(
                f"Gramine's attestation is of the type {kind[:64]!a}, not {_DCAP!r}: {_MANIFEST}",
                reason="unsupported",
                tee="sgx",
            )

    def collateral(self) -> None:
        """Gramine has none to give."""

    def quote(self, report_data: bytes) -> bytes:
        """Ask for a quote over 64 bytes; takes tens of milliseconds.

        Raises:
            TeeError: there is none to be had.
            ValueError: these are not 64 bytes.
        """
        require_report_data(report_data)
        self.check()
        try:
            with self._lock:
                write_at_once(self._root / "user_report_data", report_data)
                quote = read_whole(self._root / "quote", _MAX_QUOTE)
        except OSError as error:
            raise self._explained(error) from error
        if report_data not in quote:
            raise TeeError(
                "Gramine's quote is not about the bytes that were asked for: another thread of "
                "this process asks for quotes too, past this server",
                reason="conflict",
                tee="sgx",
            )
        return quote

    def _explained(self, error: OSError) -> TeeError:
        """Say what Gramine's error means here, and what to do."""
        root = self._root
        if error.errno in {errno.ENOENT, errno.ENOTDIR}:
            name = Path(str(error.filename or root)).name
            if name != "attestation_type":
                return TeeError(
                    f"{root} has no file {name}: {_MANIFEST}", reason="unsupported", tee="sgx"
                )
            return TeeError(
                f"{root} is not there: this process does not run in Gramine with SGX "
                "(start it with gramine-sgx, not gramine-direct)",
                reason="missing",
            )
        if error.errno in {errno.EACCES, errno.EPERM}:
            return TeeError(
                f"this process may not use {root} ({error.strerror}): {_MANIFEST}",
                reason="permission",
                tee="sgx",
            )
        return TeeError(
            f"Gramine gives no quote ({error.strerror or error}); look at its log, and whether the "
            "host runs aesmd with the package libsgx-aesm-quote-ex-plugin, or has "
            "/dev/sgx_provision for this user",
            reason="failed",
            tee="sgx",
        )
