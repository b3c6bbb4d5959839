"""A bounded, thread-safe memory of values that are computed once, whoever asks at the same time."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["LeastRecentlyUsed"]

Value = TypeVar("Value")


class LeastRecentlyUsed(Generic[Value]):
    """Values by key, the least recently used ones forgotten first.

    Args:
        capacity: how many values are kept at most.
    """

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise ValueError("a cache holds one value at least")
        self._capacity = capacity
        self.hits: int = 0
        self.misses: int = 0
        self._start()

    def _start(self) -> None:
        self._lock = threading.Lock()
        self._values: OrderedDict[bytes, Value] = OrderedDict()
        # By key, a lock that is held for as long as the value is being computed.
        self._computations: dict[bytes, threading.Lock] = {}
        self._process = os.getpid()

    def __len__(self) -> int:
        return len(self._values)

    def get(
        self, key: bytes, *, usable: Callable[[Value], bool], compute: Callable[[], Value]
    ) -> Value:
        """Return the value of `key`, computing it where there is no usable one.

        Callers that come while another one computes the same key wait for it. Where it fails, or
        its value is not usable to them, each computes its own: an error is never shared, so that
        each caller gets its own, exactly as if it were alone.

        Args:
            key: what the value belongs to.
            usable: whether a kept value serves this caller.
            compute: makes the value; called without any lock. What it raises is passed on, and
                nothing is kept.
        """
        self._notice_fork()
        with self._lock:
            kept = self._find(key, usable)
            if kept is not None:
                return kept
            running = self._computations.get(key)
            if running is None:
                own = self._computations[key] = threading.Lock()
                own.acquire()
        if running is not None:
            with running:
                pass
            with self._lock:
                kept = self._find(key, usable)
            return kept if kept is not None else self._keep(key, compute())
        try:
            return self._keep(key, compute())
        finally:
            with self._lock:
                self._computations.pop(key, None)
            own.release()

    def clear(self) -> None:
        """Forget all values."""
        self._notice_fork()
        with self._lock:
            self._values.clear()

    def _notice_fork(self) -> None:
        # In a forked child the locks may be held by threads that do not exist there.
        if self._process != os.getpid():
            self._start()

    def _find(self, key: bytes, usable: Callable[[Value], bool]) -> Value | None:
        kept = self._values.get(key)
        if kept is None or not usable(kept):
            return None
        self._values.move_to_end(key)
        self.hits += 1
        return kept

    def _keep(self, key: bytes, value: Value) -> Value:
        with self._lock:
            self.misses += 1
            self._values[key] = value
            self._values.move_to_end(key)
            if len(self._values) > self._capacity:
                self._values.popitem(last=False)
        return value
