"""The files through which a real machine gives quotes, answered by a platform in software.

The kernel's part is written from drivers/virt/coco/tsm.c of Linux, the enclave's from Gramine's
documentation of /dev/attestation.
"""

from __future__ import annotations

import errno
from collections import deque
from typing import TYPE_CHECKING

from fuse_files import FuseFiles

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["AttestationFiles", "TsmFiles"]


class TsmRequest:
    """One directory: what the kernel keeps of it."""

    def __init__(self) -> None:
        self.inblob = b""
        self.outblob = b""
        self.written = 0
        self.read = 0


class TsmFiles(FuseFiles):
    """/sys/kernel/config/tsm/report of a guest.

    Args:
        quote: makes the report of 64 bytes.
        provider: whose reports these are.

    Attributes:
        requests: the requests that are there now, by name.
        asked: the report data of each report that was made.
        faults: what goes wrong, one a read of an outblob, None for nothing: a number is the error
            number that it fails with, bytes are what another process writes to the inblob just
            before it, text is what it writes just after.
        mkdir_error: the error number that no request can be made for, or 0.
        dropped_writes: how many writes the kernel is still to drop without a word.
    """

    FILES = ("generation", "provider", "inblob", "outblob")

    def __init__(self, quote: Callable[[bytes], bytes], provider: str = "tdx_guest") -> None:
        self._quote = quote
        self.provider = provider
        self.requests: dict[str, TsmRequest] = {}
        self.asked: list[bytes] = []
        self.faults: deque[int | bytes | str | None] = deque()
        self.mkdir_error = 0
        self.dropped_writes = 0

    def is_directory(self, path: str) -> bool:
        name, _, file = path.partition("/")
        if not path or (name in self.requests and not file):
            return True
        if name in self.requests and file in self.FILES:
            return False
        raise FileNotFoundError(errno.ENOENT, path)

    def mkdir(self, path: str) -> None:
        if self.mkdir_error:
            raise OSError(self.mkdir_error, path)
        self.requests[path] = TsmRequest()

    def rmdir(self, path: str) -> None:
        del self.requests[path]

    def read(self, path: str) -> bytes:
        name, _, file = path.partition("/")
        request = self.requests[name]
        if file == "generation":
            return f"{request.written}\n".encode()
        if file == "provider":
            return f"{self.provider}\n".encode()
        if file == "outblob":
            return self._read_outblob(request)
        raise PermissionError(errno.EACCES, path)

    def write(self, path: str, content: bytes) -> None:
        name, _, file = path.partition("/")
        if file != "inblob":
            raise PermissionError(errno.EACCES, path)
        if self.dropped_writes:
            self.dropped_writes -= 1
            return
        self._write_inblob(self.requests[name], content)

    def _write_inblob(self, request: TsmRequest, content: bytes) -> None:
        request.inblob = content
        request.written += 1

    def _read_outblob(self, request: TsmRequest) -> bytes:
        fault = self.faults.popleft() if self.faults else None
        if isinstance(fault, int):
            raise OSError(fault, "outblob")
        if isinstance(fault, bytes):
            self._write_inblob(request, fault)
        if not request.inblob or len(request.inblob) != 64:  # TDX takes no other number of bytes
            raise OSError(errno.EINVAL, "outblob")
        if request.read != request.written:
            self.asked.append(request.inblob)
            request.outblob = self._quote(request.inblob)
            request.read = request.written
        report = request.outblob
        if isinstance(fault, str):
            self._write_inblob(request, fault.encode())
        return report


class AttestationFiles(FuseFiles):
    """/dev/attestation of an enclave in Gramine.

    Args:
        quote: makes the quote of 64 bytes.
        kind: what `attestation_type` says.

    Attributes:
        missing: the files that are not there.
        quote_error: the error number that reading the quote fails with, or 0.
        foreign: report data that another thread writes just before each quote, or b"".
    """

    FILES = ("attestation_type", "user_report_data", "quote")

    def __init__(self, quote: Callable[[bytes], bytes], kind: str = "dcap") -> None:
        self._quote = quote
        self.kind = kind
        self.missing: set[str] = set()
        self.quote_error = 0
        self.foreign = b""
        self.report_data = bytes(64)

    def is_directory(self, path: str) -> bool:
        if not path:
            return True
        if path not in self.FILES or path in self.missing:
            raise FileNotFoundError(errno.ENOENT, path)
        return False

    def read(self, path: str) -> bytes:
        if path == "attestation_type":
            return self.kind.encode()
        if path == "user_report_data":
            return self.report_data
        if self.quote_error:
            raise OSError(self.quote_error, path)
        return self._quote(self.foreign or self.report_data)

    def write(self, path: str, content: bytes) -> None:
        if path != "user_report_data":
            raise PermissionError(errno.EACCES, path)
        self.report_data = content
