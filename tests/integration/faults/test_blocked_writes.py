"""A path that takes nothing, or little: calls end by their deadline, and with their connection.

The proxy's buffers are small. With the system's own, megabytes look sent that nobody has taken.
"""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import logging
import time

import numpy as np
import pytest
from waiting import until

from blindai_async import Batching
from blindai_async._transport.channels import ChannelLimits
from blindai_async.errors import ConnectionClosedError, DeadlineExceededError

SMALL = np.zeros((1, 8), np.float32)
ONE_MESSAGE = np.zeros((32_000, 8), np.float32)  # 1 MB
LARGE = np.zeros((300_000, 8), np.float32)  # 9.6 MB
MODEL = bytes(20 << 20)

# Seconds by which a call may outstay its deadline here. The promise is a quarter of one, where the
# machine has time. What it must not be is the 10 s in which gRPC finds out that a peer is
# dead, the many that a slow path takes, or for ever.
LATE = 2.0
# gRPC pings no peer that owes it nothing for a minute where the intervals are this long.
WITHOUT_KEEPALIVE = ChannelLimits(
    max_reply_bytes=1 << 30, keepalive_time=1000, keepalive_timeout=1000
)


@pytest.fixture
async def blocked(machine, proxied):
    """A network that takes everything until it is told to take nothing."""
    return await proxied(machine.attested_port, receive_buffer=32 << 10)


@pytest.fixture(params=[True, False], ids=["keepalive", "no keepalive"])
async def connection(request, machine, blocked, opened):
    connection = machine.connection(attested_port=blocked.port)
    if not request.param:
        manager = connection._manager
        manager._config = dataclasses.replace(manager._config, limits=WITHOUT_KEEPALIVE)
    connection = await opened(connection)
    await connection.predict("echo", SMALL)
    return connection


CALLS = {
    "small": lambda conn, timeout: conn.predict("echo", SMALL, timeout=timeout),
    "one message": lambda conn, timeout: conn.predict("echo", ONE_MESSAGE, timeout=timeout),
    "large": lambda conn, timeout: conn.predict("echo", LARGE, timeout=timeout),
    "upload": lambda conn, timeout: conn.upload_model(MODEL, timeout=timeout),
    "delete": lambda conn, timeout: conn.delete_model("m", timeout=timeout),
}


@pytest.fixture
def unnoticed(caplog):
    """What asyncio says of tasks and exceptions that nobody has looked at."""
    with caplog.at_level(logging.ERROR, "asyncio"):
        yield caplog.records
    gc.collect()
    assert [r.getMessage() for r in caplog.records if r.name == "asyncio"] == []


async def lateness(call, timeout):
    started = time.monotonic()
    with pytest.raises(DeadlineExceededError):
        await call
    return time.monotonic() - started - timeout


@pytest.mark.parametrize("path", ["takes nothing", "takes little"])
@pytest.mark.parametrize("name", ["large", "upload"])
async def test_a_call_ends_by_its_deadline(connection, blocked, unnoticed, path, name):
    tasks = asyncio.all_tasks()
    if path == "takes nothing":
        blocked.faults.blackhole = True
    else:
        blocked.faults.bytes_per_second = 100_000
    assert await lateness(CALLS[name](connection, 1), 1) <= LATE
    await until(lambda: not pending(tasks))
    blocked.faults.blackhole = False
    blocked.faults.bytes_per_second = None
    await blocked.cut_all()


async def test_so_does_every_call_behind_one_that_blocks_the_path(connection, blocked, unnoticed):
    tasks = asyncio.all_tasks()
    blocked.faults.blackhole = True
    late = await asyncio.gather(
        *(lateness(call(connection, 1), 1) for call in CALLS.values() for _ in range(3))
    )
    assert max(late) <= LATE
    await until(lambda: not pending(tasks))
    blocked.faults.blackhole = False
    await blocked.cut_all()


@pytest.mark.parametrize("name", CALLS)
async def test_a_cancelled_caller_does_not_wait_for_its_write(connection, blocked, unnoticed, name):
    tasks = asyncio.all_tasks()
    blocked.faults.blackhole = True
    blocking = asyncio.ensure_future(CALLS["large"](connection, 60))
    call = asyncio.ensure_future(CALLS[name](connection, 60))
    await until(lambda: blocked_by(blocked))
    for each in (call, blocking):
        each.cancel()
        done, _ = await asyncio.wait((each,), timeout=5)
        assert done, "it waits for what the path does not take"
        assert each.cancelled()
    await until(lambda: not pending(tasks))
    blocked.faults.blackhole = False
    await blocked.cut_all()


@pytest.mark.parametrize("grace", [0, 0.2])
@pytest.mark.parametrize("batching", [None, Batching()], ids=["single", "batched"])
async def test_closing_does_not_wait_for_writes(
    machine, blocked, unnoticed, leftovers_from_now, batching, grace
):
    before = leftovers_from_now()
    connection = await machine.connection(attested_port=blocked.port, batching=batching)
    await connection.predict("echo", SMALL)
    blocked.faults.blackhole = True
    calls = [asyncio.ensure_future(call(connection, 60)) for call in CALLS.values()]
    await until(lambda: blocked_by(blocked))
    started = time.monotonic()
    await connection.close(grace)
    errors = await asyncio.gather(*calls, return_exceptions=True)
    assert time.monotonic() - started <= grace + LATE
    assert {type(error) for error in errors} == {ConnectionClosedError}
    blocked.faults.blackhole = False
    await blocked.cut_all()
    await blocked.__aexit__(None, None, None)
    await machine.stop()
    await before.none()


async def test_calls_go_on_once_the_path_takes_them_again(connection, blocked, unnoticed):
    blocked.faults.blackhole = True
    calls = [asyncio.ensure_future(call(connection, 60)) for call in (CALLS["large"],) * 3]
    given_up = asyncio.ensure_future(CALLS["large"](connection, 60))
    await until(lambda: blocked_by(blocked))
    given_up.cancel()
    blocked.faults.blackhole = False
    for reply in await asyncio.gather(*calls):
        assert reply.output[0].bytes_data == LARGE.tobytes()


def blocked_by(proxy):
    """Whether the proxy has taken something that it does not pass on."""
    return proxy.held


def pending(before):
    return [
        task
        for task in asyncio.all_tasks() - before
        if not task.done() and "StreamUnaryCall" in repr(task.get_coro())
    ]
