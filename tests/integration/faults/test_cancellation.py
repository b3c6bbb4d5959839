"""Calls cancelled at any point: no task, no socket, no file, no stream is left behind."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import numpy as np
import pytest
from machine import SECRET_INPUT
from waiting import until

from blindai_async import Batching, RetryPolicy

LARGE = np.zeros((300_000, 8), np.float32)  # 9.6 MB: many messages
PATIENT = RetryPolicy(attempts=100, base_delay=0.05, max_delay=0.1)


async def answers(connection, array=SECRET_INPUT, **options):
    reply = await connection.predict("echo", array, **options)
    return reply.output[0].bytes_data == array.tobytes()


def in_flight(machine):
    """The calls that the server has begun and not ended."""
    return machine.server._run._admission._calls.count


DELAYS = [0, 0.001, 0.003, 0.006, 0.01, 0.02, 0.04, 0.08]


async def cancelled_after(seconds, awaitable):
    task = asyncio.ensure_future(awaitable)
    await asyncio.sleep(seconds)
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.exception()


async def test_connecting_cancelled_at_any_point(machine, proxied, leftovers_from_now):
    network = await proxied(machine.untrusted_port)
    network.faults.delay = 0.005
    async with machine.connection() as warm:
        await answers(warm)
    before = leftovers_from_now()
    for seconds in DELAYS:
        connection = machine.connection(untrusted_port=network.port, certificate=None)
        await cancelled_after(seconds, connection._open())
        await connection.close()
    await until(lambda: not network.open_connections)
    await before.none()


@pytest.mark.parametrize("batching", [None, Batching()], ids=["single", "batched"])
async def test_predictions_cancelled_at_any_point(machine, proxied, leftovers_from_now, batching):
    network = await proxied(machine.attested_port)
    network.faults.delay = 0.002
    connection = await machine.connection(attested_port=network.port, batching=batching)
    assert await answers(connection)
    before = leftovers_from_now()
    for array in (SECRET_INPUT, LARGE):
        for sign in (False, True):
            for seconds in DELAYS:
                await cancelled_after(seconds, answers(connection, array, sign=sign))
    await until(lambda: in_flight(machine) == 0)
    await before.none()
    assert network.accepted == 1  # no connection was spoilt
    assert await answers(connection)
    await connection.close()


def open_files():
    return {entry.resolve() for entry in Path("/proc/self/fd").iterdir()}


async def test_uploads_cancelled_at_any_point(machine, leftovers_from_now, tmp_path):
    file = tmp_path / "large.onnx"
    file.write_bytes(os.urandom(8 << 20))
    connection = await machine.connection()
    before = leftovers_from_now()
    for model in (file, file.read_bytes()):
        for seconds in DELAYS:
            await cancelled_after(seconds, connection.upload_model(model))
    await until(lambda: in_flight(machine) == 0)
    assert file.resolve() not in open_files()
    await before.none()
    await connection.close()


async def test_callers_cancelled_during_pauses_and_renewals(machine, proxied, leftovers_from_now):
    network = await proxied(machine.attested_port)
    untrusted = await proxied(machine.untrusted_port)
    connection = await machine.connection(
        attested_port=network.port, untrusted_port=untrusted.port, retry=PATIENT
    )
    before = leftovers_from_now()
    network.faults.refuse = True
    untrusted.faults.delay = 0.02
    await network.cut_all()
    for seconds in (*DELAYS, 0.6, 0.7):
        await cancelled_after(seconds, answers(connection, timeout=20))
    await until(lambda: not untrusted.open_connections)
    await before.none()
    network.faults.refuse = False
    assert await answers(connection, timeout=20)
    await connection.close()


async def test_predict_many_left_in_the_middle(machine, leftovers_from_now):
    connection = await machine.connection(batching=Batching())
    before = leftovers_from_now()
    results = connection.predict_many("echo", (SECRET_INPUT for _ in range(10_000)))
    async for _ in results:
        break
    await results.aclose()
    await until(lambda: in_flight(machine) == 0)
    await before.none()
    await connection.close()
