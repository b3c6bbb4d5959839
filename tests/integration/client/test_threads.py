"""Worker threads: the package's own, so that an application's busy ones neither delay nor block."""

from __future__ import annotations

import asyncio
import threading
import time

import numpy as np
import pytest
from anyio import from_thread, to_thread

from blindai_async import Batching
from blindai_async.errors import ConnectionClosedError, DeadlineExceededError

NUMBERS = [float(i % 7) for i in range(16_000)]
BLOCKING_ENDPOINTS = 45  # more than anyio's 40 threads


@pytest.fixture(autouse=True)
def every_input_is_converted_in_a_thread(monkeypatch):
    monkeypatch.setattr("blindai_async._client.predictions.conversion_is_costly", lambda _: True)


@pytest.mark.parametrize("batching", [None, Batching()], ids=["single", "batched"])
async def test_blocking_endpoints_that_call_through_a_portal_are_all_answered(
    connect, scripted, batching
):
    connection = await connect(scripted, batching=batching)

    def endpoint():
        reply = from_thread.run(
            lambda: connection.predict("m", NUMBERS, dtype="float32", shape=(2000, 8))
        )
        return reply.output[0].shape

    shapes = await asyncio.wait_for(
        asyncio.gather(*(to_thread.run_sync(endpoint) for _ in range(BLOCKING_ENDPOINTS))), 60
    )
    assert shapes == [(2000, 8)] * BLOCKING_ENDPOINTS


async def test_busy_threads_of_the_application_delay_nothing(make_connection, scripted):
    release = threading.Event()
    busy = [asyncio.ensure_future(to_thread.run_sync(release.wait)) for _ in range(60)]
    await asyncio.sleep(0.05)
    try:
        async with make_connection(scripted) as connection:
            await connection.predict("m", NUMBERS, dtype="float32", shape=(2000, 8), timeout=20)
            await connection.upload_model(b"onnx", timeout=20)
    finally:
        release.set()
        await asyncio.gather(*busy)


@pytest.fixture
def stalled_conversion(monkeypatch):
    """Conversions begin, and do not end before the test does."""
    release = threading.Event()
    monkeypatch.setattr(
        "blindai_async._client.predictions.translate_tensors", lambda *_: release.wait()
    )
    yield
    release.set()


@pytest.mark.parametrize("batching", [None, Batching()], ids=["single", "batched"])
async def test_a_deadline_covers_the_conversion_of_inputs(
    connect, scripted, stalled_conversion, batching
):
    connection = await connect(scripted, batching=batching)
    started = time.monotonic()
    with pytest.raises(DeadlineExceededError, match=r"predict: not done within 0\.2 s"):
        await connection.predict("m", NUMBERS, dtype="float32", shape=(2000, 8), timeout=0.2)
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("batching", [None, Batching()], ids=["single", "batched"])
async def test_closing_ends_a_call_whose_inputs_are_being_converted(
    connect, scripted, stalled_conversion, batching
):
    connection = await connect(scripted, batching=batching)
    call = asyncio.ensure_future(connection.predict("m", np.zeros(3, np.float32)))
    await asyncio.sleep(0.05)
    await connection.close(grace=0.05)
    with pytest.raises(ConnectionClosedError):
        await asyncio.wait_for(call, 5)
