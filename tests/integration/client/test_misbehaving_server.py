"""Servers that end calls early, say odd things, or are not what they should be."""

from __future__ import annotations

import asyncio

import grpc
import numpy as np
import pytest

from blindai_async._pb import securedexchange_pb2 as pb
from blindai_async.errors import (
    BlindAIError,
    DeadlineExceededError,
    RequestRejectedError,
    TransportError,
)
from blindai_async.options import RetryPolicy

RUN_MODEL = "/securedexchange.Exchange/RunModel"
SEND_MODEL = "/securedexchange.Exchange/SendModel"
DELETE_MODEL = "/securedexchange.Exchange/DeleteModel"

ONE = np.ones(3, np.float32)
FAILURES = [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK]
LARGE = 50 << 20


def calls_of(connection):
    return {
        "predict": lambda: connection.predict("m", ONE),
        "predict many frames": lambda: connection.predict("m", np.zeros(1 << 20, np.float32)),
        "upload_model": lambda: connection.upload_model(b"onnx"),
        "delete_model": lambda: connection.delete_model("m"),
    }


@pytest.mark.parametrize("code", FAILURES, ids=lambda code: code.name)
async def test_every_status_becomes_an_error_of_the_package(connect, scripted, code):
    connection = await connect(scripted, retry=RetryPolicy(attempts=1))
    for path in (RUN_MODEL, SEND_MODEL, DELETE_MODEL):
        scripted.answers[path] = (code, "what the server said")
    for name, call in calls_of(connection).items():
        with pytest.raises(TransportError) as caught:
            await call()
        assert caught.value.code == code.name, name
        assert caught.value.details == "what the server said"
        assert str(caught.value).startswith(f"{name.split()[0]}: {code.name}: what the server said")
    assert not connection.closed
    scripted.answers.clear()
    await connection.predict("m", ONE)


@pytest.mark.parametrize("read_first", [0, 1, 20])
@pytest.mark.parametrize("path", [RUN_MODEL, SEND_MODEL])
async def test_an_early_status_is_told_while_the_client_still_sends(
    connect, scripted, path, read_first
):
    """gRPC puts an INTERNAL of its own in the status's place in some of the cases."""

    async def refuse(call):
        await call.read(read_first)
        await call.context.abort(grpc.StatusCode.INVALID_ARGUMENT, "Model is too big")

    scripted.answers[path] = refuse
    connection = await connect(scripted)
    content = bytes(LARGE)
    array = np.frombuffer(content, np.float32)
    for _ in range(8):
        call = (
            connection.upload_model(content)
            if path == SEND_MODEL
            else connection.predict("m", array)
        )
        with pytest.raises(RequestRejectedError, match="INVALID_ARGUMENT: Model is too big"):
            await call


async def test_an_answer_to_a_part_of_a_model_is_refused(connect, scripted):
    async def answer_at_once(call):
        await call.read(1)
        payload = pb.Payload(send_model_payload=pb.SendModelPayload(model_id="m"))
        return scripted.reply(payload.SerializeToString(), sign=False)

    scripted.answers[SEND_MODEL] = answer_at_once
    connection = await connect(scripted)
    with pytest.raises(TransportError, match="before it had the whole request"):
        await connection.upload_model(bytes(LARGE))


async def test_an_answer_to_a_part_of_the_inputs_is_refused(connect, scripted):
    async def answer_at_once(call):
        await call.read(1)
        return scripted.run_model_reply(sign=False)

    scripted.answers[RUN_MODEL] = answer_at_once
    connection = await connect(scripted)
    with pytest.raises(TransportError, match="before it had the whole request"):
        await connection.predict("m", np.zeros(LARGE // 4, np.float32))


async def test_details_cannot_forge_log_lines_nor_flood_them(connect, scripted):
    scripted.answers[RUN_MODEL] = (
        grpc.StatusCode.UNKNOWN,
        "line\r\nCRITICAL root: forged \x1b[2J \u202e" + "a" * 3000,
    )
    connection = await connect(scripted)
    with pytest.raises(RequestRejectedError) as caught:
        await connection.predict("m", ONE)
    for text in (str(caught.value), caught.value.details):
        assert text.isprintable()
        assert len(text) < 600
    assert "forged" in caught.value.details


async def test_details_past_http2s_limits_end_the_call(connect, scripted):
    scripted.answers[RUN_MODEL] = (grpc.StatusCode.UNKNOWN, "a" * (1 << 20))
    connection = await connect(scripted)
    with pytest.raises(TransportError) as caught:
        await connection.predict("m", ONE)
    assert len(str(caught.value)) < 1000


async def test_a_reply_over_the_limit_is_refused_with_a_hint(connect, scripted):
    connection = await connect(scripted, max_reply_bytes=1 << 20)
    with pytest.raises(TransportError, match="max_reply_bytes") as caught:
        await connection.predict("m", np.zeros(1 << 20, np.float32))
    assert caught.value.code == "RESOURCE_EXHAUSTED"
    assert len((await connection.predict("m", ONE)).output) == 1


async def test_a_server_that_reads_nothing_more_is_left_at_the_deadline(connect, scripted):
    async def stall(call):
        await call.read(1)
        await asyncio.sleep(60)

    scripted.answers[SEND_MODEL] = scripted.answers[RUN_MODEL] = stall
    connection = await connect(scripted)
    with pytest.raises(DeadlineExceededError):
        await connection.upload_model(bytes(LARGE), timeout=0.3)
    with pytest.raises(DeadlineExceededError):
        await connection.predict("m", np.zeros(LARGE // 4, np.float32), timeout=0.3)
    scripted.answers.clear()
    await connection.predict("m", ONE)


async def test_a_server_that_stops_during_a_call_is_reported(connect, scripted):
    stopping = []

    async def stop(call):
        stopping.append(asyncio.ensure_future(scripted.stop()))
        await asyncio.sleep(60)

    scripted.answers[RUN_MODEL] = stop
    connection = await connect(scripted)
    with pytest.raises(TransportError):
        await connection.predict("m", ONE, timeout=10)
    await asyncio.gather(*stopping)


async def test_the_wrong_way_round_ports_are_named(connect, server):
    class Swapped:
        attested_port, untrusted_port = server.untrusted_port, server.attested_port

    with pytest.raises(TransportError, match="ports not swapped"):
        await connect(Swapped)


async def test_a_plain_http_server_is_no_server(make_connection):
    async def answer(reader, writer):
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    plain = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with plain:

        class Ports:
            attested_port = untrusted_port = plain.sockets[0].getsockname()[1]

        connection = make_connection(Ports)
        with pytest.raises(TransportError, match="no TLS server answers on the untrusted port"):
            await connection


@pytest.mark.parametrize("reply", [b"", b"\xff\xff", b"\x0a\x7fshort", bytes(100)])
async def test_garbage_replies_raise_only_the_packages_errors(connect, scripted, reply):
    connection = await connect(scripted)
    scripted.answers[RUN_MODEL] = scripted.answers[SEND_MODEL] = reply
    for sign in (False, True):
        with pytest.raises(BlindAIError):
            await connection.predict("m", ONE, sign=sign)
        with pytest.raises(BlindAIError):
            await connection.upload_model(b"onnx", sign=sign)


async def test_a_deletion_says_nothing_that_could_be_garbage(connect, scripted):
    scripted.answers[DELETE_MODEL] = b"\xff\xff\xff"
    connection = await connect(scripted)
    await connection.delete_model("m")


async def test_another_enclave_behind_the_attested_port_is_not_spoken_to(make_connection, scripted):
    """A man in the middle of the attested port has not the key of the certificate."""
    other = type(scripted)()
    await other.start()
    try:

        class Mixed:
            attested_port, untrusted_port = other.attested_port, scripted.untrusted_port

        connection = make_connection(Mixed)
        with pytest.raises(TransportError, match="not the enclave whose certificate was given"):
            await connection
        assert other.calls == []
    finally:
        await other.stop()
