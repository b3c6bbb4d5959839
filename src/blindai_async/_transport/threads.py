"""Worker threads of the package's own, apart from those that an application keeps busy.

anyio lends 40 threads to a whole event loop. An application whose blocking endpoints occupy them
all, and wait for this package, would wait for ever if the package needed one of the same threads.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, TypeVar

from anyio import CapacityLimiter, to_thread
from anyio.lowlevel import RunVar

if TYPE_CHECKING:
    from collections.abc import Callable

_T = TypeVar("_T")


class Purpose(Enum):
    """What a thread is for, and how many of them work at once on one event loop."""

    CONVERT = 4  # inputs and answers: the interpreter runs one of them at a time, mostly
    FILES = 16  # disks, which may be slow
    RESOLVE = 8  # names of hosts
    VERIFY = 2  # evidence


_limiters: RunVar[dict[Purpose, CapacityLimiter]] = RunVar("blindai_async thread limiters")


async def run_in_thread(purpose: Purpose, function: Callable[..., _T], *args: object) -> _T:
    """Call a function in a worker thread.

    A caller that is cancelled does not wait for the function's end.
    """
    limiters = _limiters.get(None)
    if limiters is None:
        limiters = {each: CapacityLimiter(each.value) for each in Purpose}
        _limiters.set(limiters)
    return await to_thread.run_sync(
        function, *args, abandon_on_cancel=True, limiter=limiters[purpose]
    )
