"""Deadlines and retries over networks that delay, cut, corrupt, reset and swallow."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

import grpc
import numpy as np
import pytest
from fault_proxy import TO_CLIENT, TO_SERVER
from machine import SECRET_INPUT
from relay import Relay
from spoiling import with_last_bit_flipped
from waiting import until

from blindai_async import Batching, RetryPolicy, SessionState, Timeouts
from blindai_async.errors import (
    BlindAIError,
    DeadlineExceededError,
    RequestRejectedError,
    TransportError,
)

LARGE = np.zeros((40_000, 8), np.float32)  # 1.28 MB: several messages
EAGER = RetryPolicy(attempts=6, base_delay=0.05, max_delay=0.1)


@pytest.fixture
async def network(machine, proxied):
    """The network before the attested port."""
    return await proxied(machine.attested_port)


@pytest.fixture
async def connection(machine, network, opened):
    return await opened(machine.connection(attested_port=network.port, retry=EAGER))


async def answers(connection, array=SECRET_INPUT, **options):
    reply = await connection.predict("echo", array, **options)
    return reply.output[0].bytes_data == array.tobytes()


@pytest.mark.parametrize("reset", [False, True], ids=["FIN", "RST"])
@pytest.mark.parametrize("array", [SECRET_INPUT, LARGE], ids=["small", "large"])
async def test_a_broken_connection_is_not_noticed_by_the_caller(connection, network, array, reset):
    assert await answers(connection)
    for _ in range(3):
        await network.cut_all(reset=reset)
        assert await answers(connection, array, timeout=10)


@pytest.mark.parametrize("direction", [TO_SERVER, TO_CLIENT])
@pytest.mark.parametrize("array", [SECRET_INPUT, LARGE], ids=["small", "large"])
async def test_a_connection_cut_in_the_middle_of_a_call_is_made_anew(
    connection, network, array, direction
):
    assert await answers(connection)
    bytes_before = len(network.seen[direction])
    network.faults.cut_after[direction] = bytes_before + 40
    call = asyncio.ensure_future(answers(connection, array, timeout=10))
    await until(lambda: network.accepted >= 2)
    network.faults.cut_after.clear()
    assert await call


@pytest.mark.parametrize("direction", [TO_SERVER, TO_CLIENT])
async def test_a_corrupted_byte_becomes_no_answer(connection, network, direction):
    """gRPC tells of a record that does not decrypt as UNKNOWN, as a server may: not sent again."""
    assert await answers(connection)
    network.faults.corrupt_at[direction] = len(network.seen[direction]) + 60
    with suppress(RequestRejectedError):
        assert await answers(connection, LARGE, timeout=10)
    assert network.faults.corrupt_at == {}
    assert await answers(connection, LARGE, timeout=10)
    assert network.accepted == 2


@pytest.mark.slow
async def test_a_network_with_long_ways_is_only_slow(machine, network, opened):
    network.faults.delay = 0.6  # TCP and TLS take some seconds then
    connection = await opened(machine.connection(attested_port=network.port))
    assert await answers(connection, timeout=20)
    assert network.accepted == 1


async def test_a_slow_network_is_only_slow(connection, network):
    network.faults.delay = 0.05
    network.faults.bytes_per_second = 1e7
    assert await answers(connection, LARGE, timeout=20)
    assert network.accepted == 1


@pytest.mark.parametrize("array", [SECRET_INPUT, LARGE], ids=["small", "large"])
async def test_the_deadline_holds_in_a_network_that_swallows(connection, network, array):
    assert await answers(connection)
    network.faults.blackhole = True
    started = time.monotonic()
    with pytest.raises(DeadlineExceededError):
        await connection.predict("echo", array, timeout=0.7)
    assert 0.69 < time.monotonic() - started < 8  # gRPC takes 20 s to find a peer dead


async def test_the_deadline_is_over_all_attempts(machine, network, opened):
    patient = RetryPolicy(attempts=1000, base_delay=0.05, max_delay=0.1, budget=1000)
    connection = await opened(machine.connection(attested_port=network.port, retry=patient))
    network.faults.refuse = True
    await network.cut_all()
    started = time.monotonic()
    with pytest.raises(TransportError):
        await connection.predict("echo", SECRET_INPUT, timeout=1.2)
    assert time.monotonic() - started < 20  # a thousand attempts would take 50 s


async def test_a_deadline_that_ends_a_later_attempt_tells_why_the_first_one_failed(
    connection, network
):
    assert await answers(connection)
    network.faults.cut_after[TO_SERVER] = len(network.seen[TO_SERVER]) + 40
    network.faults.refuse = True
    with pytest.raises(DeadlineExceededError, match=r"within 1 s.*attempt before.*UNAVAILABLE"):
        await answers(connection, timeout=1)


async def test_a_deadline_of_the_peers_is_told_in_its_own_words(refused_by):
    patient = RetryPolicy(attempts=1000, base_delay=0.02, max_delay=0.02, budget=1000)
    connection, relay = await refused_by("UNAVAILABLE", "later", retry=patient)
    call = asyncio.ensure_future(connection.predict("echo", SECRET_INPUT, timeout=20))
    await until(lambda: relay.requests)
    relay.abort_with = (grpc.StatusCode.DEADLINE_EXCEEDED, "the model took too long")
    with pytest.raises(DeadlineExceededError, match="the model took too long"):
        await call


async def test_the_deadline_holds_while_new_evidence_is_asked_for_and_does_not_come(
    machine, network, proxied, opened
):
    """The caller with little time is not made to wait for the handshake's own deadline."""
    untrusted = await proxied(machine.untrusted_port)
    connection = await opened(
        machine.connection(
            attested_port=network.port,
            untrusted_port=untrusted.port,
            timeouts=Timeouts(connect=20),
        )
    )
    untrusted.faults.blackhole = True
    network.faults.refuse = True
    await network.cut_all()
    started = time.monotonic()
    patient = asyncio.ensure_future(connection.predict("echo", SECRET_INPUT, timeout=60))
    await until(lambda: untrusted.held)
    with pytest.raises(DeadlineExceededError):
        await connection.predict("echo", SECRET_INPUT, timeout=0.5)
    assert time.monotonic() - started < 15  # the handshake has 20 s
    untrusted.faults.blackhole = network.faults.refuse = False
    await patient  # it is not spoilt by the one that had no time


@pytest.mark.parametrize("which", ["untrusted_port", "attested_port"])
async def test_connecting_ends_at_its_deadline(machine, proxied, which):
    network = await proxied(getattr(machine, which))
    network.faults.blackhole = True
    started = time.monotonic()
    with pytest.raises(DeadlineExceededError):
        await machine.connection(timeouts=Timeouts(connect=0.6), **{which: network.port})
    assert time.monotonic() - started < 15


async def test_a_server_that_has_gone_is_told_at_the_deadline(machine, opened):
    connection = await opened(machine.connection(retry=EAGER))
    await machine.stop()
    with pytest.raises(DeadlineExceededError, match=r"unreachable for .* nothing listens"):
        await connection.predict("echo", SECRET_INPUT, timeout=1)


NEVER = [
    "INVALID_ARGUMENT",
    "UNKNOWN",
    "PERMISSION_DENIED",
    "UNAUTHENTICATED",
    "NOT_FOUND",
    "FAILED_PRECONDITION",
    "UNIMPLEMENTED",
    "DATA_LOSS",
    "ABORTED",
]


@pytest.fixture
async def refused_by(machine, opened):
    """A connection that every call of which ends with a status."""

    async def connect(code, details, **options):
        relay = Relay(machine.attested_port, machine.steal()[1], machine.steal())
        relay.abort_with = (grpc.StatusCode[code], details)
        await opened(relay)
        connection = await opened(
            machine.connection(attested_port=relay.port, **({"retry": EAGER} | options))
        )
        return connection, relay

    return connect


@pytest.mark.parametrize("code", NEVER)
async def test_what_the_server_decided_is_not_asked_again(refused_by, code):
    connection, relay = await refused_by(code, "RST_STREAM UNAVAILABLE try again")
    for call in (
        lambda: connection.predict("echo", SECRET_INPUT),
        lambda: connection.upload_model(b"model", model_id="mine"),
        lambda: connection.delete_model("echo"),
    ):
        before = len(relay.requests)
        with pytest.raises(TransportError) as caught:
            await call()
        assert caught.value.code == code
        assert len(relay.requests) == before + 1


async def test_the_attempts_are_bounded_and_so_is_what_a_connection_spends(refused_by):
    policy = RetryPolicy(attempts=3, base_delay=0.001, budget=5)
    connection, relay = await refused_by("UNAVAILABLE", "later", retry=policy)
    sent = []
    for _ in range(4):
        before = len(relay.requests)
        with pytest.raises(TransportError):
            await connection.predict("echo", SECRET_INPUT)
        sent.append(len(relay.requests) - before)
    assert sent == [3, 3, 2, 1]  # the budget of five retries is spent
    relay.abort_with = None
    for _ in range(10):  # each success earns a tenth of a retry
        await connection.predict("echo", SECRET_INPUT)
    relay.abort_with = (grpc.StatusCode.UNAVAILABLE, "later")
    before = len(relay.requests)
    with pytest.raises(TransportError):
        await connection.predict("echo", SECRET_INPUT)
    assert len(relay.requests) - before == 2


async def test_deletions_are_sent_again_and_uploads_only_under_the_callers_id(refused_by):
    connection, relay = await refused_by(
        "UNAVAILABLE", "later", retry=RetryPolicy(attempts=4, base_delay=0.01)
    )
    sent = {}
    for name, call in {
        "delete": lambda: connection.delete_model("echo"),
        "upload": lambda: connection.upload_model(b"model"),
        "upload by id": lambda: connection.upload_model(b"model", model_id="mine"),
    }.items():
        before = len(relay.requests)
        with pytest.raises(TransportError):
            await call()
        sent[name] = len(relay.requests) - before
    assert sent == {"delete": 4, "upload": 1, "upload by id": 4}


async def test_an_upload_of_which_nothing_was_sent_is_sent_again(
    machine, network, opened, onnx_models
):
    patient = RetryPolicy(attempts=50, base_delay=0.05, max_delay=0.1)
    connection = await opened(machine.connection(attested_port=network.port, retry=patient))
    network.faults.refuse = True
    await network.cut_all()
    await until(lambda: connection.state is SessionState.DOWN)
    before = network.accepted
    call = asyncio.ensure_future(connection.upload_model(onnx_models.identity(), timeout=60))
    await until(lambda: network.accepted > before)
    network.faults.refuse = False
    assert (await call).model_id


async def test_each_caller_of_a_broken_batch_gets_an_error_of_its_own(machine, network, opened):
    connection = await opened(
        machine.connection(
            attested_port=network.port, batching=Batching(), retry=RetryPolicy(attempts=1)
        )
    )
    await connection.predict("echo", SECRET_INPUT)
    network.faults.blackhole = True
    calls = [
        asyncio.ensure_future(connection.predict("echo", SECRET_INPUT, timeout=60))
        for _ in range(9)
    ]
    await until(lambda: network.held)
    network.faults.refuse = True
    await network.cut_all()
    errors = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(error, TransportError) for error in errors)
    assert len({id(error) for error in errors}) == 9


async def test_verification_failures_are_not_sent_again(machine, opened):
    async with Relay(machine.attested_port, machine.steal()[1], machine.steal()) as relay:
        connection = await opened(machine.connection(attested_port=relay.port, retry=EAGER))
        relay.tamper = lambda path, _request, reply: with_last_bit_flipped(reply)
        with pytest.raises(BlindAIError) as caught:
            await connection.predict("echo", SECRET_INPUT, sign=True)
        assert not isinstance(caught.value, RequestRejectedError)
        assert len(relay.requests) == 1
