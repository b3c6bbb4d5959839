"""Deadlines of the calls: of the connection, of one call, and what the error is caught as."""

from __future__ import annotations

import asyncio
import time

import numpy as np
import pytest

from blindai_async import Timeouts
from blindai_async.errors import DeadlineExceededError, TransportError

RUN_MODEL = "/securedexchange.Exchange/RunModel"
SEND_MODEL = "/securedexchange.Exchange/SendModel"
DELETE_MODEL = "/securedexchange.Exchange/DeleteModel"

X = np.ones(3, np.float32)
SHORT = 0.15


def calls_of(connection, **options):
    return {
        "predict": lambda: connection.predict("m", X, **options),
        "predict many frames": lambda: connection.predict(
            "m", np.zeros(1 << 20, np.float32), **options
        ),
        "upload_model": lambda: connection.upload_model(b"onnx", **options),
        "delete_model": lambda: connection.delete_model("m", **options),
    }


@pytest.fixture
def never_answering(scripted):
    async def never(call):
        await call.read_all()
        await asyncio.sleep(60)

    for path in (RUN_MODEL, SEND_MODEL, DELETE_MODEL):
        scripted.answers[path] = never
    return scripted


async def ends_in_time(call):
    started = time.monotonic()
    with pytest.raises(DeadlineExceededError) as caught:
        await call()
    assert SHORT * 0.99 < time.monotonic() - started < 30  # the servers here take a minute
    return caught.value


@pytest.mark.parametrize("name", ["predict", "predict many frames", "upload_model", "delete_model"])
async def test_a_calls_own_timeout_ends_it(connect, never_answering, name):
    connection = await connect(never_answering)
    error = await ends_in_time(calls_of(connection, timeout=SHORT)[name])
    assert isinstance(error, TimeoutError)
    assert isinstance(error, ConnectionError)
    assert isinstance(error, TransportError)
    assert error.code == "DEADLINE_EXCEEDED"
    assert str(error).startswith(name.split()[0])


@pytest.mark.parametrize("name", ["predict", "upload_model", "delete_model"])
async def test_the_connections_timeouts_end_calls_that_have_none(connect, never_answering, name):
    timeouts = {"upload" if name == "upload_model" else "call": SHORT}
    connection = await connect(never_answering, timeouts=Timeouts(**timeouts))
    await ends_in_time(calls_of(connection)[name])


async def test_a_calls_own_timeout_may_be_longer_than_the_connections(connect, scripted):
    async def slow(call):
        await asyncio.sleep(SHORT * 2)
        return await scripted.echo(call)

    scripted.answers[RUN_MODEL] = slow
    connection = await connect(scripted, timeouts=Timeouts(call=SHORT))
    await connection.predict("m", X, timeout=5)


async def test_a_deadline_leaves_the_connection_usable(connect, never_answering):
    connection = await connect(never_answering)
    await ends_in_time(calls_of(connection, timeout=SHORT)["predict"])
    never_answering.answers.clear()
    assert (await connection.predict("m", X)).output[0].shape == (3,)


@pytest.mark.parametrize("timeout", [0, -1])
async def test_a_deadline_in_the_past_has_passed(connect, scripted, timeout):
    connection = await connect(scripted)
    for call in calls_of(connection, timeout=timeout).values():
        with pytest.raises(DeadlineExceededError):
            await call()


@pytest.mark.parametrize("timeout", [float("inf"), 1e12])
async def test_no_deadline_is_too_far_away(connect, scripted, timeout):
    """gRPC's clock overflows in some 290 years, and takes what lies beyond for past."""
    connection = await connect(scripted, timeouts=Timeouts(connect=timeout, call=timeout))
    for call in [*calls_of(connection, timeout=timeout).values(), *calls_of(connection).values()]:
        await call()


async def test_a_handshake_step_that_is_never_answered_ends_at_the_deadline(
    make_connection, scripted
):
    async def never(call):
        await asyncio.sleep(60)

    for path in ("/untrusted.Attestation/GetServerInfo", "/untrusted.Attestation/GetCertificate"):
        scripted.answers = {path: never}
        connection = make_connection(scripted, timeouts=Timeouts(connect=SHORT))
        error = await ends_in_time(lambda connection=connection: connection._open())
        assert str(error).startswith("connect")
