"""Where a connection is at home, it may be used; nowhere else."""

import asyncio
import os
import threading

import pytest

from blindai_async._client.loop_affinity import Home
from blindai_async.errors import ConnectionClosedError


async def test_the_loop_that_made_it_is_at_home():
    Home().check()


async def test_another_thread_is_not():
    home, refused = Home(), []

    async def elsewhere() -> None:
        with pytest.raises(ConnectionClosedError, match="another event loop"):
            home.check()
        refused.append(True)

    thread = threading.Thread(target=lambda: asyncio.run(elsewhere()))
    thread.start()
    await asyncio.to_thread(thread.join)
    assert refused


def test_a_later_loop_of_the_same_thread_is_not():
    async def make() -> Home:
        return Home()

    async def use(home: Home) -> None:
        with pytest.raises(ConnectionClosedError, match="another event loop"):
            home.check()

    home = asyncio.run(make())
    assert home.is_gone()
    asyncio.run(use(home))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform does not fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")  # the child only exits
async def test_a_forked_child_is_not():
    home = Home()

    child = os.fork()
    if child == 0:
        try:
            home.check()
        except ConnectionClosedError as error:
            os._exit(0 if "before a fork" in str(error) else 1)
        os._exit(2)
    _, status = await asyncio.to_thread(os.waitpid, child, 0)

    assert os.waitstatus_to_exitcode(status) == 0
    assert home.is_this_process()
