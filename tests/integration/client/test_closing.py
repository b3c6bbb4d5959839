"""The end of a connection: closed once or often, during calls, never, or by the wrong hands."""

from __future__ import annotations

import asyncio
import gc
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from waiting import until

import blindai_async
from blindai_async.errors import ConnectionClosedError

RUN_MODEL = "/securedexchange.Exchange/RunModel"
SEND_MODEL = "/securedexchange.Exchange/SendModel"
GET_SERVER_INFO = "/untrusted.Attestation/GetServerInfo"

X = np.ones(3, np.float32)


def calls_of(connection):
    return [
        lambda: connection.predict("m", X),
        lambda: connection.upload_model(b"onnx"),
        lambda: connection.delete_model("m"),
        connection.attest,
    ]


@pytest.fixture
def stalled(scripted):
    """The server takes calls and never answers; notes which it took, and which were cancelled."""
    noted = SimpleNamespace(taken=[], cancelled=[])

    async def stall(call):
        noted.taken.append(call)
        try:
            await asyncio.sleep(60)
        finally:
            noted.cancelled.append(call)

    scripted.answers[RUN_MODEL] = scripted.answers[SEND_MODEL] = stall
    return noted


async def test_closing_twice_is_closing_once(connect, scripted):
    connection = await connect(scripted)
    await asyncio.gather(connection.close(), connection.close())
    await connection.close()
    assert connection.closed
    assert "closed" in repr(connection)


async def test_a_closed_connection_is_not_used(connect, scripted):
    connection = await connect(scripted)
    await connection.close()
    scripted.calls.clear()
    for call in calls_of(connection):
        with pytest.raises(ConnectionClosedError, match="closed") as caught:
            await call()
        assert isinstance(caught.value, ValueError)
    with pytest.raises(ConnectionClosedError, match=r"connect\(\) makes a new one"):
        await connection
    assert scripted.calls == []


async def test_what_was_learnt_stays_known_after_closing(connect, scripted):
    connection = await connect(scripted)
    await connection.close()
    assert connection.server_version == "0.5.1"
    assert len(connection.enclave_signing_key) == 32


async def test_an_unopened_connection_is_not_used(make_connection, scripted):
    connection = make_connection(scripted)
    for call in calls_of(connection):
        with pytest.raises(ConnectionClosedError, match="not open yet"):
            await call()
    assert scripted.calls == []
    await connection.close()
    with pytest.raises(ConnectionClosedError, match="closed"):
        await connection
    assert scripted.calls == []


async def test_an_exception_in_the_block_closes_and_passes(make_connection, scripted):
    connection = make_connection(scripted)
    with pytest.raises(KeyError):
        async with connection:
            raise KeyError
    assert connection.closed


async def test_calls_in_flight_are_told_that_the_connection_was_closed(connect, scripted, stalled):
    connection = await connect(scripted)
    calls = [
        asyncio.ensure_future(call)
        for call in (
            connection.predict("m", X),
            connection.predict("m", np.zeros(8 << 20, np.float32), sign=True),
            connection.upload_model(bytes(20 << 20)),
        )
    ]
    await until(lambda: len(stalled.taken) == 3)
    await connection.close()
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(result) for result in results] == [ConnectionClosedError] * 3
    assert not any(call.cancelled() for call in calls)


async def test_a_prediction_still_being_converted_is_told_too(connect, scripted):
    connection = await connect(scripted)
    call = asyncio.ensure_future(connection.predict("m", np.zeros((4000, 4000), np.float32).T))
    await asyncio.sleep(0)
    await connection.close()
    with pytest.raises(ConnectionClosedError):
        await call


async def test_a_connection_closed_while_it_opens_does_not_open(
    make_connection, scripted, open_files
):
    reached = asyncio.Event()

    async def slow(call):
        reached.set()
        await asyncio.sleep(0.1)
        return b"\x0a\x050.5.1"

    before = await open_files()
    scripted.answers[GET_SERVER_INFO] = slow
    connection = make_connection(scripted)
    opening = asyncio.ensure_future(connection._open())
    await reached.wait()
    await connection.close()
    with pytest.raises(ConnectionClosedError):
        await opening
    assert connection.closed
    assert await open_files() <= before


async def test_cancelling_one_caller_ends_its_call_and_no_other(connect, scripted, stalled):
    connection = await connect(scripted)
    first = asyncio.ensure_future(connection.predict("first", X))
    second = asyncio.ensure_future(connection.predict("second", X))
    await until(lambda: len(stalled.taken) == 2)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    await until(lambda: stalled.cancelled)
    assert len(stalled.cancelled) == 1
    assert not second.done()
    scripted.answers.clear()
    await connection.predict("third", X)
    await connection.close()
    with pytest.raises(ConnectionClosedError):
        await second


async def test_a_cancelled_upload_reaches_the_server_as_cancelled(connect, scripted, stalled):
    connection = await connect(scripted)
    upload = asyncio.ensure_future(connection.upload_model(bytes(20 << 20)))
    await until(lambda: stalled.taken)
    upload.cancel()
    with pytest.raises(asyncio.CancelledError):
        await upload
    await until(lambda: stalled.cancelled)


async def test_a_callers_own_time_out_is_its_own(connect, scripted, stalled):
    connection = await connect(scripted)
    with pytest.raises(TimeoutError) as caught:
        async with asyncio.timeout(0.1):
            await connection.predict("m", X)
    assert type(caught.value) is TimeoutError


async def test_cancelling_a_caller_while_closing_stays_a_cancellation(connect, scripted, stalled):
    connection = await connect(scripted)
    call = asyncio.ensure_future(connection.predict("m", X))
    await until(lambda: stalled.taken)
    call.cancel()
    await connection.close()
    with pytest.raises(asyncio.CancelledError):
        await call


async def test_closing_leaves_nothing_open(make_connection, scripted, open_files):
    before = await open_files()
    async with make_connection(scripted) as connection:
        await connection.predict("m", X)
        assert await open_files() > before
    del connection
    assert await open_files() <= before


async def test_a_connection_that_was_never_closed_warns(make_connection, scripted):
    held = [await make_connection(scripted)]

    def let_go():
        held.clear()
        gc.collect()

    with pytest.warns(ResourceWarning, match=r"AsyncConnection to 127\.0\.0\.1.* never closed"):
        let_go()


@pytest.mark.parametrize("state", ["unopened", "closed", "failed"])
async def test_only_an_open_one_warns(make_connection, scripted, state):
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        connection = make_connection(scripted)
        if state == "closed":
            await connection
            await connection.close()
        elif state == "failed":
            scripted.version = "0.6.0"
            with pytest.raises(Exception, match="version"):
                await connection
        del connection
        gc.collect()
    assert [w for w in warned if issubclass(w.category, ResourceWarning)] == []


async def test_a_second_close_waits_for_the_first(connect, scripted, stalled):
    connection = await connect(scripted)
    call = asyncio.ensure_future(connection.predict("m", X))
    await until(lambda: stalled.taken)
    first = asyncio.ensure_future(connection.close(grace=60))
    await asyncio.sleep(0)
    second = asyncio.ensure_future(connection.close(grace=60))
    await asyncio.sleep(0.05)
    assert not first.done()
    assert not second.done()
    await asyncio.wait_for(connection.close(), 5)  # a smaller grace shortens it for all
    await asyncio.wait_for(asyncio.gather(first, second), 5)
    with pytest.raises(ConnectionClosedError):
        await call


@pytest.mark.parametrize("batching", [None, blindai_async.Batching()], ids=["single", "batched"])
@pytest.mark.parametrize("turns", [0, 1, 2, 3, 5, 8])
async def test_a_cancelled_close_goes_on(
    make_connection, scripted, stalled, open_files, batching, turns
):
    before = await open_files()
    connection = await make_connection(scripted, batching=batching)
    call = asyncio.ensure_future(connection.predict("m", X))
    await until(lambda: stalled.taken)
    closing = asyncio.ensure_future(connection.close(grace=0.01))
    for _ in range(turns):
        await asyncio.sleep(0)
    closing.cancel()
    await asyncio.gather(closing, return_exceptions=True)
    await asyncio.wait_for(connection.close(), 5)
    assert connection.closed
    with pytest.raises(ConnectionClosedError):
        await call
    await until(lambda: stalled.cancelled)
    del call, closing
    assert len(await open_files() - before) == 0
