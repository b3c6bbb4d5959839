"""A small file system in this process, mounted through /dev/fuse.

What it serves behaves as a kernel's own files do: a read or a write can fail with any error number,
contents are made when they are read, and what was written takes effect when the file is closed.
It speaks the kernel's protocol itself (Linux, include/uapi/linux/fuse.h), and needs root.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
import threading
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType

__all__ = ["FuseFiles", "FuseMount", "can_mount"]

_IN = struct.Struct("<IIQQIIIHH")
_OUT = struct.Struct("<IiQ")
_ATTR = struct.Struct("<6Q10I")
_ENTRY = struct.Struct("<4Q2I")
_ATTR_OUT = struct.Struct("<QII")
_OPEN_OUT = struct.Struct("<QII")
_IO = struct.Struct("<QQII16x")
_INIT_OUT = struct.Struct("<IIIIHHIIHH32x")

_MS_NOSUID_NODEV = 6
_MNT_DETACH = 2
_DIRECT_IO = 1
_ROOT = 1
_BUFFER = 1 << 17
_MAX_WRITE = 4096
_NO_REPLY = frozenset({2, 36, 42})  # FORGET, INTERRUPT, BATCH_FORGET

_libc = ctypes.CDLL(None, use_errno=True)


class FuseFiles(ABC):
    """What is served: directories and files by their path from the mount, "" for its root.

    Every method may raise OSError with the error number that the caller is to get. They run in the
    mount's thread, and must not touch the mount themselves.
    """

    @abstractmethod
    def is_directory(self, path: str) -> bool:
        """Tell a directory from a file; FileNotFoundError where there is neither."""

    @abstractmethod
    def read(self, path: str) -> bytes:
        """Give a file's content, asked for once each time it is opened."""

    @abstractmethod
    def write(self, path: str, content: bytes) -> None:
        """Take what was written to a file, as it is closed."""

    def mkdir(self, path: str) -> None:
        """Make a directory."""
        raise OSError(errno.EPERM, path)

    def rmdir(self, path: str) -> None:
        """Remove a directory."""
        raise OSError(errno.EPERM, path)


class _OpenFile:
    def __init__(self, path: str) -> None:
        self.path = path
        self.content: bytes | None = None
        self.written = bytearray()


class FuseMount:
    """Mounts files at a directory, as a context manager.

    Args:
        mountpoint: an empty directory.
        files: what is served there.
    """

    def __init__(self, mountpoint: Path, files: FuseFiles) -> None:
        self._mountpoint = os.fsencode(mountpoint)
        self._files = files
        self._paths = {_ROOT: ""}
        self._nodes = {"": _ROOT}
        self._open: dict[int, _OpenFile] = {}
        self._handles = 0
        self._handlers: dict[int, Callable[[int, bytes], bytes]] = {
            1: self._lookup, 3: self._getattr, 4: self._getattr, 9: self._mkdir, 11: self._rmdir,
            14: self._open_file, 15: self._read, 16: self._write, 18: self._release,
            25: self._flush, 26: self._init, 34: lambda _node, _body: b"",
        }  # fmt: skip

    def __enter__(self) -> Self:
        self._device = os.open("/dev/fuse", os.O_RDWR)
        options = f"fd={self._device},rootmode=40000,user_id=0,group_id=0,allow_other"
        try:
            _call(_libc.mount, b"test", self._mountpoint, b"fuse.test", _MS_NOSUID_NODEV, options)
        except OSError:
            os.close(self._device)
            raise
        self._thread = threading.Thread(target=self._serve, name="fuse", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _call(_libc.umount2, self._mountpoint, _MNT_DETACH)
        self._thread.join()

    def _serve(self) -> None:
        try:
            while True:
                try:
                    request = os.read(self._device, _BUFFER)
                except OSError as error:
                    if error.errno in {errno.ENOENT, errno.EINTR}:  # an interrupted request
                        continue
                    if error.errno == errno.ENODEV:  # unmounted
                        return
                    raise
                self._answer(request)
        finally:
            os.close(self._device)  # whoever still waits gets ENOTCONN

    def _answer(self, request: bytes) -> None:
        _, opcode, unique, node, *_ = _IN.unpack_from(request)
        if opcode in _NO_REPLY:
            return
        body, code = b"", 0
        try:
            body = self._handlers.get(opcode, _unknown)(node, request[_IN.size :])
        except OSError as error:
            code = error.errno or errno.EIO
        header = _OUT.pack(_OUT.size + len(body), -code, unique)
        try:
            os.write(self._device, header + body)
        except OSError as error:
            if error.errno not in {errno.ENOENT, errno.ENODEV}:  # nobody waits for it any more
                raise

    def _init(self, _node: int, _body: bytes) -> bytes:
        return _INIT_OUT.pack(7, 31, 0, 0, 1, 1, _MAX_WRITE, 1, 1, 0)

    def _attributes(self, path: str) -> bytes:
        kind = stat.S_IFDIR | 0o755 if self._files.is_directory(path) else stat.S_IFREG | 0o600
        owner = os.getuid(), os.getgid()
        return _ATTR.pack(self._node(path), 0, 0, 0, 0, 0, 0, 0, 0, kind, 1, *owner, 0, 4096, 0)

    def _node(self, path: str) -> int:
        if path not in self._nodes:
            self._nodes[path] = node = len(self._nodes) + 1
            self._paths[node] = path
        return self._nodes[path]

    def _below(self, node: int, name: bytes) -> str:
        return f"{self._paths[node]}/{name.rstrip(bytes(1)).decode()}".lstrip("/")

    def _entry(self, path: str) -> bytes:
        attributes = self._attributes(path)
        return _ENTRY.pack(self._node(path), 0, 0, 0, 0, 0) + attributes

    def _lookup(self, node: int, body: bytes) -> bytes:
        return self._entry(self._below(node, body))

    def _getattr(self, node: int, _body: bytes) -> bytes:
        return _ATTR_OUT.pack(0, 0, 0) + self._attributes(self._paths[node])

    def _mkdir(self, node: int, body: bytes) -> bytes:
        path = self._below(node, body[8:])
        self._files.mkdir(path)
        return self._entry(path)

    def _rmdir(self, node: int, body: bytes) -> bytes:
        self._files.rmdir(self._below(node, body))
        return b""

    def _open_file(self, node: int, _body: bytes) -> bytes:
        self._handles += 1
        self._open[self._handles] = _OpenFile(self._paths[node])
        return _OPEN_OUT.pack(self._handles, _DIRECT_IO, 0)

    def _read(self, _node: int, body: bytes) -> bytes:
        handle, offset, size, _ = _IO.unpack_from(body)
        file = self._open[handle]
        if file.content is None:
            file.content = self._files.read(file.path)
        return file.content[offset : offset + size]

    def _write(self, _node: int, body: bytes) -> bytes:
        handle, offset, size, _ = _IO.unpack_from(body)
        data = body[_IO.size : _IO.size + size]
        self._open[handle].written[offset : offset + size] = data
        return struct.pack("<II", size, 0)

    def _flush(self, _node: int, body: bytes) -> bytes:
        (handle,) = struct.unpack_from("<Q", body)
        file = self._open[handle]
        if file.written:
            content, file.written = bytes(file.written), bytearray()
            self._files.write(file.path, content)
        return b""

    def _release(self, _node: int, body: bytes) -> bytes:
        (handle,) = struct.unpack_from("<Q", body)
        del self._open[handle]
        return b""


def can_mount(directory: Path) -> bool:
    """Whether this user may mount a file system at a directory."""

    class Nothing(FuseFiles):
        def is_directory(self, path: str) -> bool:
            if path:
                raise FileNotFoundError(errno.ENOENT, path)
            return True

        def read(self, path: str) -> bytes:
            raise OSError(errno.EISDIR, path)

        def write(self, path: str, content: bytes) -> None:
            raise OSError(errno.EISDIR, path, len(content))

    try:
        with FuseMount(directory, Nothing()):
            return True
    except OSError:
        return False


def _unknown(_node: int, _body: bytes) -> bytes:
    raise OSError(errno.ENOSYS, "a request that is of no use here")


def _call(function: Any, *arguments: bytes | int | str) -> None:
    given = [one.encode() if isinstance(one, str) else one for one in arguments]
    if function(*given) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
