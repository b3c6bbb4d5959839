"""The bounded memory: what is kept, what is computed, and by whom."""

from __future__ import annotations

import multiprocessing
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from blindai_async.attestation.lru import LeastRecentlyUsed

if TYPE_CHECKING:
    from collections.abc import Callable


def always(_: object) -> bool:
    return True


def failing() -> int:
    raise KeyError("no value")


def test_a_value_is_computed_once() -> None:
    memory: LeastRecentlyUsed[int] = LeastRecentlyUsed(2)
    assert memory.get(b"a", usable=always, compute=lambda: 1) == 1
    assert memory.get(b"a", usable=always, compute=failing) == 1
    assert (memory.hits, memory.misses, len(memory)) == (1, 1, 1)


def test_the_least_recently_used_value_goes_first() -> None:
    memory: LeastRecentlyUsed[int] = LeastRecentlyUsed(2)
    memory.get(b"a", usable=always, compute=lambda: 1)
    memory.get(b"b", usable=always, compute=lambda: 2)
    memory.get(b"a", usable=always, compute=failing)
    memory.get(b"c", usable=always, compute=lambda: 3)
    assert memory.get(b"a", usable=always, compute=failing) == 1
    assert len(memory) == 2
    with pytest.raises(KeyError):
        memory.get(b"b", usable=always, compute=failing)


def test_failures_are_not_kept_and_leave_nothing_behind() -> None:
    memory: LeastRecentlyUsed[int] = LeastRecentlyUsed(2)
    for _ in range(3):
        with pytest.raises(KeyError):
            memory.get(b"a", usable=always, compute=failing)
    assert len(memory) == 0
    assert memory.get(b"a", usable=always, compute=lambda: 1) == 1


def test_an_unusable_value_is_replaced() -> None:
    memory: LeastRecentlyUsed[int] = LeastRecentlyUsed(2)
    memory.get(b"a", usable=always, compute=lambda: 1)
    assert memory.get(b"a", usable=lambda kept: kept == 2, compute=lambda: 2) == 2
    assert memory.get(b"a", usable=always, compute=failing) == 2


def test_what_is_cleared_is_computed_again() -> None:
    memory: LeastRecentlyUsed[int] = LeastRecentlyUsed(2)
    memory.get(b"a", usable=always, compute=lambda: 1)
    memory.clear()
    assert memory.get(b"a", usable=always, compute=lambda: 2) == 2


def together(
    memory: LeastRecentlyUsed[int], compute: Callable[[], int], callers: int = 8
) -> list[int | str]:
    """Call `get` from many threads while the first computation is under way."""
    started, release = threading.Event(), threading.Event()

    def slow() -> int:
        started.set()
        assert release.wait(5)
        return compute()

    def call() -> int | str:
        try:
            return memory.get(b"a", usable=always, compute=slow)
        except KeyError as error:
            return repr(error)

    with ThreadPoolExecutor(callers) as pool:
        first = pool.submit(call)
        assert started.wait(5)
        others = [pool.submit(call) for _ in range(callers - 1)]
        release.set()
        return [future.result(10) for future in (first, *others)]


def test_callers_at_the_same_time_share_one_computation() -> None:
    memory: LeastRecentlyUsed[int] = LeastRecentlyUsed(2)
    computed: list[int] = []

    def compute() -> int:
        computed.append(1)
        return 1

    assert together(memory, compute) == [1] * 8
    assert len(computed) == 1
    assert (memory.hits, memory.misses) == (7, 1)


def test_each_caller_gets_an_error_of_its_own() -> None:
    memory: LeastRecentlyUsed[int] = LeastRecentlyUsed(2)
    computed: list[int] = []

    def compute() -> int:
        computed.append(1)
        return failing()

    assert together(memory, compute) == ["KeyError('no value')"] * 8
    assert len(computed) == 8


def test_a_capacity_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="one value"):
        LeastRecentlyUsed(0)


def in_child(memory: LeastRecentlyUsed[int], found: object) -> None:
    found.put(memory.get(b"a", usable=always, compute=lambda: 2))  # type: ignore[attr-defined]


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_does_not_wait_for_threads_that_it_does_not_have() -> None:
    memory: LeastRecentlyUsed[int] = LeastRecentlyUsed(2)
    context = multiprocessing.get_context("fork")
    found = context.SimpleQueue()

    def fork() -> int:
        child = context.Process(target=in_child, args=(memory, found))
        child.start()
        child.join(20)
        assert child.exitcode == 0
        return 1

    # The child is made in the middle of a computation of the very key that it asks for.
    assert memory.get(b"a", usable=always, compute=fork) == 1
    assert found.get() == 2
