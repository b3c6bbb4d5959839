"""More calls at once than a server takes streams: each has its turn, and none fails."""

from __future__ import annotations

import asyncio

import grpc
import numpy as np
import pytest
from waiting import until

from blindai_async import Batching, RetryPolicy
from blindai_async.errors import DeadlineExceededError

RUN_MODEL = "/securedexchange.Exchange/RunModel"
SEND_MODEL = "/securedexchange.Exchange/SendModel"
X = np.ones((1, 3), np.float32)
REFUSED = (grpc.StatusCode.UNAVAILABLE, "Received RST_STREAM with error code 7")


@pytest.mark.slow
async def test_more_calls_at_once_than_any_server_takes_streams_all_succeed(connect, scripted):
    connection = await connect(scripted)
    await asyncio.gather(*(connection.predict("m", X, timeout=300) for _ in range(3000)))
    assert connection.stats.rpcs == 3000


@pytest.mark.parametrize("options", [{}, {"batching": Batching()}], ids=["single", "batching"])
async def test_calls_under_way_are_limited_and_answered_in_order(connect, scripted, options):
    under_way = most = 0
    order = []

    async def count(call):
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.01)
        under_way -= 1
        return await scripted.echo(call)

    scripted.answers[RUN_MODEL] = count
    connection = await connect(scripted, **options)

    async def call(number):
        await connection.predict("m", X, sign=True, timeout=60)  # signed ones are never joined
        order.append(number)

    await asyncio.gather(*(call(number) for number in range(500)))
    assert most <= 100
    assert all(abs(place - number) <= 150 for place, number in enumerate(order))


async def test_who_waits_for_a_stream_waits_until_its_deadline(connect, scripted):
    release = asyncio.Event()

    async def hold(call):
        await release.wait()
        return await scripted.echo(call)

    scripted.answers[RUN_MODEL] = hold
    connection = await connect(scripted)
    holding = [asyncio.ensure_future(connection.predict("m", X)) for _ in range(100)]
    await until(lambda: connection._manager.streams.active == 100)
    with pytest.raises(DeadlineExceededError, match=r"within 0\.2 s.*100 streams"):
        await connection.predict("m", X, timeout=0.2)
    cancelled = asyncio.ensure_future(connection.predict("m", X))
    await asyncio.sleep(0.01)
    cancelled.cancel()
    release.set()
    await asyncio.gather(*holding)
    await connection.predict("m", X)
    assert connection._manager.streams.active == 0


async def test_refused_streams_are_free_and_uploads_are_sent_again_too(connect, scripted):
    """The server speaks of it in the words that gRPC has for a stream that was refused."""
    refusals = 0

    def refusing(honest):
        async def answer(call):
            nonlocal refusals
            refusals += 1
            if refusals % 8:
                await call.read_all()
                await call.context.abort(*REFUSED)
            return await honest(call)

        return answer

    scripted.answers[RUN_MODEL] = refusing(scripted.echo)
    scripted.answers[SEND_MODEL] = refusing(scripted.accept_model)
    connection = await connect(scripted, retry=RetryPolicy(attempts=1, budget=1))
    await connection.upload_model(b"onnx")
    await connection.predict("m", X)
    assert refusals == 16
