"""Openings that fail: at a deadline, on a silent port, half-way; nothing stays open behind them."""

from __future__ import annotations

import asyncio
import socket

import grpc
import pytest

from blindai_async import Timeouts
from blindai_async._pb import untrusted_pb2
from blindai_async.errors import BlindAIError, DeadlineExceededError

GET_SERVER_INFO = "/untrusted.Attestation/GetServerInfo"
GET_CERTIFICATE = "/untrusted.Attestation/GetCertificate"


@pytest.mark.parametrize(
    "failure",
    ["version", "evidence", "certificate", "garbage", "attested port", "status", "cancelled"],
)
async def test_a_failing_opening_leaves_nothing_open(
    make_connection, scripted, open_files, failure
):
    options = {}
    if failure == "version":
        scripted.version = "0.6.0"
    elif failure == "evidence":
        options["simulation"] = False
    elif failure == "certificate":
        scripted.certificate = b"garbage"
    elif failure == "garbage":
        scripted.answers[GET_SERVER_INFO] = b"\xff"
    elif failure == "attested port":
        scripted.certificate = type(scripted.enclave)(signing_key=b"k" * 32).der
    elif failure == "status":
        scripted.answers[GET_CERTIFICATE] = (grpc.StatusCode.INTERNAL, "")
    else:

        async def never(call):
            await asyncio.sleep(60)

        scripted.answers[GET_CERTIFICATE] = never
    before = set()
    for attempt in range(4):
        if attempt == 1:  # older gRPC keeps the last failed call's sockets until the next call
            before = await open_files()
        connection = make_connection(scripted, **options)
        opening = asyncio.ensure_future(connection._open())
        if failure == "cancelled":
            await asyncio.sleep(0.1)
            opening.cancel()
        with pytest.raises((BlindAIError, asyncio.CancelledError)):
            await opening
        assert connection.closed
        with pytest.raises(ValueError, match="closed"):
            await connection
    del connection, opening
    assert len(await open_files()) <= len(before)


async def test_nobody_listening_is_a_connection_error(make_connection, open_files):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))

        class Ports:
            attested_port = untrusted_port = unused.getsockname()[1]

        before = await open_files()
        with pytest.raises(ConnectionError, match="untrusted port"):
            await make_connection(Ports)
        assert await open_files() <= before


async def test_a_port_that_never_speaks_tls_ends_at_the_deadline(make_connection, open_files):
    accepted = []

    async def accept(reader, writer):
        accepted.append(writer)
        await reader.read()

    silent = await asyncio.start_server(accept, "127.0.0.1", 0)
    async with silent:

        class Ports:
            attested_port = untrusted_port = silent.sockets[0].getsockname()[1]

        connection = make_connection(Ports, timeouts=Timeouts(connect=0.3))
        with pytest.raises(DeadlineExceededError, match=r"connect: not done within 0\.3 s"):
            await connection
        for writer in accepted:
            writer.close()


async def test_an_attested_port_that_never_speaks_tls_ends_at_the_deadline(
    make_connection, scripted
):
    accepted = []

    async def accept(reader, writer):
        accepted.append(writer)
        await reader.read()

    silent = await asyncio.start_server(accept, "127.0.0.1", 0)
    async with silent:

        class Ports:
            attested_port = silent.sockets[0].getsockname()[1]
            untrusted_port = scripted.untrusted_port

        connection = make_connection(Ports, timeouts=Timeouts(connect=0.5))
        with pytest.raises(DeadlineExceededError, match="connect"):
            await connection
        for writer in accepted:
            writer.close()


async def test_the_deadline_is_one_over_all_steps(make_connection, scripted):
    left = asyncio.get_running_loop().create_future()

    async def slow_version(call):
        await asyncio.sleep(1)
        return untrusted_pb2.GetServerInfoReply(version="0.5.1").SerializeToString()

    async def stalled_certificate(call):
        left.set_result(call.context.time_remaining())
        await asyncio.Event().wait()

    scripted.answers[GET_SERVER_INFO] = slow_version
    scripted.answers[GET_CERTIFICATE] = stalled_certificate
    # Not longer: gRPC tells a timeout that is less than 3 % shorter than one before as that one.
    connection = make_connection(scripted, timeouts=Timeouts(connect=10))
    opening = asyncio.ensure_future(connection._open())
    assert await asyncio.wait_for(left, 60) < 9.5  # what the first step left of it
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
