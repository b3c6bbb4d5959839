"""Where a connection is at affinity, it may be used; nowhere else."""

import asyncio
import os
import threading

import pytest

from blindai_async._client.loop_affinity import LoopAffinity
from blindai_async.errors import ConnectionClosedError


async def test_the_loop_that_made_it_is_at_home():
    LoopAffinity().check()


async def test_another_thread_is_not():
    affinity, refused = LoopAffinity(), []

    async def elsewhere() -> None:
        with pytest.raises(ConnectionClosedError, match="another event loop"):
            affinity.check()
        refused.append(True)

    thread = threading.Thread(target=lambda: asyncio.run(elsewhere()))
    thread.start()
    await asyncio.to_thread(thread.join)
    assert refused


def test_a_later_loop_of_the_same_thread_is_not():
    async def make() -> LoopAffinity:
        return LoopAffinity()

    async def use(affinity: LoopAffinity) -> None:
        with pytest.raises(ConnectionClosedError, match="another event loop"):
            affinity.check()

    affinity = asyncio.run(make())
    assert affinity.is_gone()
    asyncio.run(use(affinity))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform does not fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")  # the child only exits
async def test_a_forked_child_is_not():
    affinity = LoopAffinity()

    child = os.fork()
    if child == 0:
        try:
            affinity.check()
        except ConnectionClosedError as error:
            os._exit(0 if "before a fork" in str(error) else 1)
        os._exit(2)
    _, status = await asyncio.to_thread(os.waitpid, child, 0)

    assert os.waitstatus_to_exitcode(status) == 0
    assert affinity.is_this_process()
