"""Connections closed in the middle of things, and by those who may not."""

from __future__ import annotations

import asyncio
import threading
import time

import numpy as np
import pytest
from machine import SECRET_INPUT
from waiting import until

from blindai_async import Batching, RetryPolicy, Timeouts
from blindai_async.errors import ConnectionClosedError, TransportError

LARGE = np.zeros((300_000, 8), np.float32)  # 9.6 MB: many messages


async def answers(connection, array=SECRET_INPUT, **options):
    reply = await connection.predict("echo", array, **options)
    return reply.output[0].bytes_data == array.tobytes()


async def test_closing_leaves_no_task_and_no_socket(machine, leftovers_from_now):
    before = leftovers_from_now()
    for batching in (None, Batching()):
        connection = await machine.connection(batching=batching)
        await asyncio.gather(*(answers(connection) for _ in range(20)))
        await machine.restart()
        await answers(connection, timeout=10)
        await connection.close()
    await machine.stop()
    await before.none()


@pytest.mark.parametrize("batching", [None, Batching()], ids=["single", "batched"])
async def test_calls_get_the_grace_they_were_given(machine, proxied, batching):
    network = await proxied(machine.attested_port)
    connection = await machine.connection(attested_port=network.port, batching=batching)
    assert await answers(connection)
    network.faults.blackhole = True
    calls = [asyncio.ensure_future(answers(connection)) for _ in range(20)]
    await until(lambda: network.held)
    closing = asyncio.ensure_future(connection.close(grace=1000))
    await asyncio.sleep(0)  # it has begun
    with pytest.raises(ConnectionClosedError):
        await answers(connection)
    network.faults.blackhole = False
    assert await asyncio.gather(*calls) == [True] * 20
    await asyncio.wait_for(closing, 60)  # as soon as they are done


@pytest.mark.parametrize("batching", [None, Batching()], ids=["single", "batched"])
async def test_calls_that_outstay_their_grace_are_ended(
    machine, proxied, leftovers_from_now, batching
):
    before = leftovers_from_now()
    async with asyncio.timeout(30):  # half of what the calls have
        network = await proxied(machine.attested_port, receive_buffer=32 << 10)
        connection = await machine.connection(attested_port=network.port, batching=batching)
        assert await answers(connection)
        network.faults.blackhole = True
        calls = [asyncio.ensure_future(answers(connection, timeout=60)) for _ in range(20)]
        calls.append(asyncio.ensure_future(answers(connection, LARGE, timeout=60)))
        await until(lambda: network.held)
        started = time.monotonic()
        await connection.close(grace=0.3)
        assert time.monotonic() - started > 0.29
        errors = await asyncio.gather(*calls, return_exceptions=True)
        assert {type(error) for error in errors} == {ConnectionClosedError}
        assert len({id(error) for error in errors}) == 21
        network.faults.blackhole = False
        await network.cut_all()
    await network.__aexit__(None, None, None)
    await machine.stop()
    await before.none()


@pytest.mark.parametrize("what", ["pause", "renewal"])
async def test_closing_does_not_wait_for_pauses_and_renewals(machine, proxied, what):
    network = await proxied(machine.attested_port)
    untrusted = await proxied(machine.untrusted_port)
    connection = await machine.connection(
        attested_port=network.port,
        untrusted_port=untrusted.port,
        retry=RetryPolicy(attempts=100, base_delay=30, max_delay=30),
        timeouts=Timeouts(connect=30),
    )
    before = network.accepted
    network.faults.refuse = True
    if what == "renewal":
        untrusted.faults.blackhole = True
    else:
        untrusted.faults.refuse = True
    await network.cut_all()
    calls = [asyncio.ensure_future(answers(connection, timeout=60)) for _ in range(5)]
    await until(lambda: network.accepted > before)
    if what == "renewal":
        await until(lambda: untrusted.held)
    async with asyncio.timeout(20):  # pauses and renewals take 30 s
        await connection.close()
        errors = await asyncio.gather(*calls, return_exceptions=True)
    for error in errors:
        assert isinstance(error, ConnectionClosedError | TransportError)
    untrusted.faults.blackhole = False  # so that the proxy notices, too
    await until(lambda: not untrusted.open_connections)


async def test_a_connection_used_from_another_loop_says_so(machine):
    connection = await machine.connection()
    told = []

    def elsewhere():
        for use in (
            lambda: connection.predict("echo", SECRET_INPUT),
            lambda: connection.upload_model(b"model"),
            lambda: connection.delete_model("echo"),
            connection.attest,
            connection.close,
        ):
            try:
                asyncio.run(use())
            except ConnectionClosedError as error:
                told.append(str(error))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    await asyncio.to_thread(thread.join)
    assert len(told) == 5
    assert all("another event loop" in text for text in told)
    assert await answers(connection)
    await connection.close()
