"""Where a connection may be used: on one event loop, in one thread, of one process."""

from __future__ import annotations

import asyncio
import os
import threading

from blindai_async.errors import ConnectionClosedError

_forks = [0]  # between this process and the one that imported the package first
_opened_after = [-1]  # forks, in the process that opened a connection: none has yet


def _count_fork() -> None:
    _forks[0] += 1


if hasattr(os, "register_at_fork"):  # where there is no fork, there is nothing to count
    os.register_at_fork(after_in_child=_count_fork)


def refuse_after_fork() -> None:
    """Refuse to open a connection where gRPC would end the process with SIGSEGV.

    gRPC's threads do not live on in a forked child, but its locks and its sense of being started
    do. Call it where a connection is opened; it remembers that one was.

    Raises:
        ConnectionClosedError: a parent of this process opened a connection before it forked.
    """
    if 0 <= _opened_after[0] != _forks[0]:
        raise ConnectionClosedError(
            "this process was forked from one that had opened a connection, and gRPC does not "
            'survive that: start it by "spawn" or "forkserver" '
            '(multiprocessing.get_context("spawn")), or fork before the first connection is opened'
        )
    _opened_after[0] = _forks[0]


class LoopAffinity:
    """The running loop, remembered.

    Every prediction asks whether it is on it. os.getpid and asyncio.get_running_loop (which asks
    for the process id too) are system calls, and took a fifth of a batched row; none is made here.
    """

    __slots__ = ("_forks", "_loop", "_thread")

    def __init__(self) -> None:
        self._forks = _forks[0]
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()

    def is_this_process(self) -> bool:
        """Tell whether this is the process, and not a child that was forked from it."""
        return self._forks == _forks[0]

    def is_gone(self) -> bool:
        """Tell whether the loop has been closed."""
        return self._loop.is_closed()

    def check(self) -> None:
        """Refuse a use that gRPC would not survive, or not understand.

        Raises:
            ConnectionClosedError: this is another process, or another event loop.
        """
        if not self.is_this_process():
            raise ConnectionClosedError(
                "the connection was opened before a fork; a process that opens its own has to be "
                'started by "spawn" or "forkserver"'
            )
        # A thread runs one loop at a time: if ours runs, and in this thread, it is the one.
        if threading.get_ident() != self._thread or not self._loop.is_running():
            raise ConnectionClosedError(
                "the connection belongs to another event loop; open one in this loop"
            )
