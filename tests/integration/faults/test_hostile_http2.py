"""Peers that speak HTTP/2 and nothing good: memory stays bounded by what the caller allowed."""

from __future__ import annotations

import asyncio
import gc
import gzip
import resource
import ssl
import struct
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import pytest
from machine import SECRET_INPUT, connection_to
from raw_http2 import (
    CONTINUATION,
    DATA,
    END_STREAM,
    GOAWAY,
    HEADERS,
    RawHttp2Server,
)

from blindai_async import RetryPolicy, Timeouts
from blindai_async._pb import securedexchange_pb2 as pb
from blindai_async._pb import untrusted_pb2
from blindai_async.errors import BlindAIError, DeadlineExceededError, TransportError

MIB = 1 << 20
RESET_CODES = {"INTERNAL_ERROR": 2, "REFUSED_STREAM": 7, "CANCEL": 8, "ENHANCE_YOUR_CALM": 11}


def resident():
    """Bytes of memory that this process holds now."""
    with Path("/proc/self/statm").open() as file:
        return int(file.read().split()[1]) * resource.getpagesize()


@pytest.fixture
def memory():
    """Tells how many MiB have been added since the test began."""
    if not Path("/proc/self/statm").exists():
        pytest.skip("needs /proc to measure memory")
    gc.collect()
    before = resident()

    def added() -> int:
        return (resident() - before) // MIB

    return added


def good_reply():
    output = pb.TensorData(
        info=pb.TensorInfo(dims=[1, 8], datum_type=pb.F32), bytes_data=SECRET_INPUT.tobytes()
    )
    payload = pb.Payload(run_model_payload=pb.RunModelPayload(output_tensors=[output]))
    return pb.RunModelReply(payload=payload.SerializeToString()).SerializeToString()


@pytest.fixture
async def hostile_enclave(server, opened):
    """A connection, in simulation mode, whose attested port answers as the test says."""
    enclave = server._run.enclave_identity
    answers = []

    async def answer(stream):
        await answers[min(stream.index, len(answers)) - 1](stream)

    async with RawHttp2Server((enclave.tls_key_pem, enclave.certificate_pem), answer) as hostile:

        async def connect(*behaviours, **options):
            answers[:] = behaviours
            connection = connection_to(
                server, simulation=True, attested_port=hostile.port, **options
            )
            return await opened(connection), hostile

        yield connect


async def a_gigabyte(stream):
    await stream.begin()
    await stream.message_head(1 << 30)
    for _ in range(1 << 10):
        await stream.data(bytes(MIB))


needs_early_check = pytest.mark.skipif(
    tuple(map(int, grpc.__version__.split(".")[:2])) < (1, 84),
    reason="gRPC before 1.84 puts a message together before it looks at its size",
)


async def a_compressed_bomb(stream):
    squeezed = gzip.compress(bytes(64 * MIB))
    headers = b"\x88\x0f\x10\x10application/grpc\x00\x0dgrpc-encoding\x04gzip"
    await stream.frame(HEADERS, 4, headers)
    await stream.message_head(len(squeezed), compressed=True)
    await stream.data(squeezed)


async def endless_headers(stream):
    await stream.frame(HEADERS, 0, b"\x88")
    for number in range(1 << 16):
        field = b"\x00\x08" + b"x-%06d" % (number % 1000000) + b"\x7e" + bytes([97]) * 126
        await stream.frame(CONTINUATION, 0, field * 64)


async def endless_messages(stream):
    await stream.begin()
    while True:
        await stream.data((struct.pack(">BI", 0, 10_000) + bytes(10_000)) * 64)


async def nonsense(stream):
    for _ in range(256):
        await stream.frame(0x55, 0xFF, bytes(range(256)) * 60)
    await stream.frame(DATA, 0, b"\xff" * 10_000)


@pytest.mark.parametrize(
    "behaviour",
    [
        pytest.param(a_gigabyte, marks=needs_early_check),
        a_compressed_bomb,
        endless_headers,
        endless_messages,
        nonsense,
    ],
    ids=lambda behaviour: getattr(behaviour, "__name__", None),
)
async def test_no_reply_takes_more_memory_than_was_allowed(hostile_enclave, memory, behaviour):
    connection, _ = await hostile_enclave(
        behaviour, max_reply_bytes=MIB, retry=RetryPolicy(attempts=1)
    )
    with pytest.raises(TransportError):
        await connection.predict("m", SECRET_INPUT, timeout=2)
    assert memory() < 48


@pytest.mark.parametrize("code", RESET_CODES)
async def test_a_stream_that_is_reset_is_sent_again(hostile_enclave, code):
    async def reset(stream):
        await stream.reset(RESET_CODES[code])

    async def answer(stream):
        await stream.answer(good_reply())

    connection, hostile = await hostile_enclave(reset, reset, answer)
    reply = await connection.predict("m", SECRET_INPUT, timeout=10)
    assert reply.output[0].bytes_data == SECRET_INPUT.tobytes()
    assert hostile.requests == 3


async def test_a_server_that_goes_away_is_asked_again(hostile_enclave):
    async def go_away(stream):
        await stream.frame(GOAWAY, 0, struct.pack(">II", 0, 0), stream=0)

    async def answer(stream):
        await stream.answer(good_reply())

    connection, hostile = await hostile_enclave(go_away, answer)
    await connection.predict("m", SECRET_INPUT, timeout=10)
    assert hostile.requests == 2


async def test_an_upload_is_not_sent_again_once_it_was_sent(hostile_enclave):
    async def reset(stream):
        await stream.reset(2)

    connection, hostile = await hostile_enclave(reset)
    with pytest.raises(TransportError):
        await connection.upload_model(b"model", timeout=5)
    assert hostile.requests == 1


async def test_an_upload_under_an_id_of_the_callers_is_sent_again(hostile_enclave):
    async def reset(stream):
        await stream.reset(2)

    async def answer(stream):
        payload = pb.Payload(send_model_payload=pb.SendModelPayload(model_id="mine"))
        await stream.answer(
            pb.SendModelReply(payload=payload.SerializeToString()).SerializeToString()
        )

    connection, hostile = await hostile_enclave(reset, answer)
    reply = await connection.upload_model(b"model", model_id="mine", timeout=10)
    assert reply.model_id == "mine"
    assert hostile.requests == 2


async def test_a_server_that_never_answers_is_left_at_the_deadline(hostile_enclave):
    async def wait(stream):
        await asyncio.sleep(60)

    connection, _ = await hostile_enclave(wait)
    started = asyncio.get_running_loop().time()
    with pytest.raises(DeadlineExceededError):
        await connection.predict("m", SECRET_INPUT, timeout=0.5)
    assert asyncio.get_running_loop().time() - started < 2


async def test_a_status_in_the_place_of_an_answer_is_told(hostile_enclave):
    async def refuse(stream):
        trailers = (
            b"\x88\x0f\x10\x10application/grpc\x00\x0bgrpc-status\x013"
            b"\x00\x0cgrpc-message\x11two%0Alines%1B[2J"
        )
        await stream.frame(HEADERS, 4 | END_STREAM, trailers)

    connection, hostile = await hostile_enclave(refuse)
    with pytest.raises(TransportError) as caught:
        await connection.predict("m", SECRET_INPUT, timeout=5)
    assert caught.value.code == "INVALID_ARGUMENT"
    assert caught.value.details == "two lines [2J"
    assert hostile.requests == 1


async def hostile_host(machine, behaviour, index):
    """An untrusted port that answers honestly until the call `index`."""

    async def answer(stream):
        if stream.index < index:
            reply = untrusted_pb2.GetServerInfoReply(version="0.5.2")
            await stream.answer(reply.SerializeToString())
        else:
            await behaviour(stream)

    return RawHttp2Server(machine.steal("host"), answer)


@pytest.mark.parametrize("index", [1, 2], ids=["version", "evidence"])
@pytest.mark.parametrize(
    "behaviour",
    [
        pytest.param(a_gigabyte, marks=needs_early_check),
        a_compressed_bomb,
        endless_headers,
        endless_messages,
    ],
    ids=lambda behaviour: getattr(behaviour, "__name__", None),
)
async def test_no_evidence_takes_more_memory_than_evidence_needs(machine, memory, behaviour, index):
    async with await hostile_host(machine, behaviour, index) as host:
        with pytest.raises(BlindAIError):
            await machine.connection(untrusted_port=host.port, timeouts=Timeouts(connect=4))
    assert memory() < 48


@pytest.mark.parametrize("mode", ["hardware", "simulation"])
async def test_evidence_of_megabytes_is_refused(machine, memory, mode):
    padding = bytes(3 * MIB)

    async def answer(stream):
        if mode == "hardware":
            reply: Any = untrusted_pb2.GetSgxQuoteWithCollateralReply(
                quote=padding,
                collateral=untrusted_pb2.SgxCollateral(tcb_info="{" * len(padding)),
                enclave_held_data=b"",
            )
            reply.quote = padding[: 2 * MIB]
            reply.collateral.tcb_info = "[" * MIB
        else:
            reply = untrusted_pb2.GetCertificateReply(enclave_tls_certificate=b"\x30\x83" + padding)
        await stream.answer(reply.SerializeToString())

    options = {"simulation": True} if mode == "simulation" else {}
    async with await hostile_host(machine, answer, 2) as host:
        with pytest.raises(BlindAIError) as caught:
            await machine.connection(untrusted_port=host.port, **options)
    assert len(str(caught.value)) < 500
    assert memory() < 64


@pytest.mark.parametrize("port", ["untrusted", "attested"])
@pytest.mark.parametrize("megabytes", [0.5, 8])
async def test_a_tls_handshake_with_a_certificate_of_megabytes_is_left(
    machine, memory, port, megabytes
):
    """Sent by hand: OpenSSL would not send it. TLS 1.2, a ServerHello and then the monster."""

    async def serve(reader, writer):
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.read(1 << 14)
            hello = b"\x03\x03" + bytes(32) + b"\x00" + b"\xc0\x2b" + b"\x00" + b"\x00\x00"
            size = int(megabytes * MIB)
            body = size.to_bytes(3) + (size - 3).to_bytes(3) + bytes(size - 3)
            flood = b"\x02" + len(hello).to_bytes(3) + hello
            flood += b"\x0b" + (size + 3).to_bytes(3) + body
            for start in range(0, len(flood), 1 << 14):
                piece = flood[start : start + (1 << 14)]
                writer.write(b"\x16\x03\x03" + len(piece).to_bytes(2) + piece)
                await writer.drain()
        writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        where = {f"{port}_port": server.sockets[0].getsockname()[1]}
        with pytest.raises(TransportError):
            await machine.connection(certificate=None, **where)
    assert memory() < 48


async def test_a_real_handshake_with_a_chain_of_certificates_is_left(machine, memory):
    """What OpenSSL does send: thousands of certificates behind a good one."""
    key, certificate = machine.steal("host")
    chain = certificate * 2000
    assert len(ssl.PEM_cert_to_DER_cert(certificate.decode())) * 2000 > 0.5 * MIB

    async def nothing(stream):
        raise AssertionError(stream)

    async with RawHttp2Server((key, chain), nothing) as server:
        with pytest.raises(TransportError):
            await machine.connection(certificate=None, untrusted_port=server.port)
    assert memory() < 48
