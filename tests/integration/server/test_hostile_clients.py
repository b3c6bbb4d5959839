"""Clients that mean harm, or are broken: the server stays up and serves the others."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket

import grpc
import numpy as np
import pytest
from waiting import until

from blindai_async._pb import securedexchange_pb2 as pb
from blindai_async.server.rpc.admission import PendingBytes

X = np.ones(4, "float32")


async def assert_serves(client, onnx_models):
    model_id = await client.upload_id(onnx_models.identity("float32", (4,)))
    (got,) = await asyncio.wait_for(client.predict(model_id, X), 10)
    assert got.tolist() == X.tolist()


def open_ended(client, method, *messages):
    """A call that sends `messages` and then never ends."""

    async def stream():
        for message in messages:
            yield message
        await asyncio.Event().wait()

    return client.call(method, stream())


@pytest.mark.parametrize("method", ["SendModel", "RunModel"])
@pytest.mark.parametrize("count", [0, 1])
async def test_a_stream_that_falls_silent_is_given_up(
    start_server, raw_client, onnx_models, refusal, method, count
):
    client = await raw_client(await start_server(stream_timeout=0.3))
    request = {
        "SendModel": pb.SendModelRequest(data=b"\x08"),
        "RunModel": pb.RunModelRequest(input_tensors=client.pieces(X, 0, 4)),
    }[method]
    call = open_ended(client, method, *[request] * count)
    assert await asyncio.wait_for(refusal(call), 60) == (
        grpc.StatusCode.DEADLINE_EXCEEDED,
        "The stream sent nothing for 0.3 s",
    )
    await assert_serves(client, onnx_models)


async def test_empty_messages_do_not_keep_a_stream_alive(start_server, raw_client, refusal):
    client = await raw_client(await start_server(stream_timeout=0.3))

    async def chatter():
        while True:
            yield pb.RunModelRequest(model_id="m")
            await asyncio.sleep(0.02)

    code, _ = await asyncio.wait_for(refusal(client.call("RunModel", chatter())), 60)
    assert code is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_a_slow_stream_that_goes_on_is_served(start_server, raw_client, onnx_models):
    client = await raw_client(await start_server(stream_timeout=0.5))
    model_id = await client.upload_id(onnx_models.identity("float32", (4,)))

    async def slowly():
        for piece in client.pieces(X, 0, 4):
            await asyncio.sleep(0.25)
            yield pb.RunModelRequest(input_tensors=[piece], model_id=model_id)

    assert (await client.call("RunModel", slowly())).payload


async def test_unfinished_requests_are_bounded_in_all(
    start_server, raw_client, onnx_models, refusal, monkeypatch
):
    pending = PendingBytes(1_000_000)
    monkeypatch.setattr("blindai_async.server.lifecycle.PendingBytes", lambda limit: pending)
    client = await raw_client(await start_server(max_pending_bytes=1_000_000))
    info = pb.TensorInfo(dims=[600_000], datum_type=pb.U8)
    piece = pb.TensorData(info=info, bytes_data=bytes(500_000))
    held = asyncio.ensure_future(
        open_ended(client, "RunModel", pb.RunModelRequest(input_tensors=[piece]))
    )

    # An upload that came before the server holds the request would have its room.
    await until(lambda: pending._held >= 500_000, within=60)
    code, _ = await refusal(client.upload(bytes(600_000)))
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    held.cancel()
    await until(lambda: pending._held == 0, within=60)
    code, _ = await refusal(client.upload(bytes(600_000)))
    assert code is grpc.StatusCode.UNKNOWN  # there is room: it is looked at
    await assert_serves(client, onnx_models)


async def test_an_input_that_is_too_big_is_refused_while_it_streams(
    start_server, raw_client, refusal
):
    client = await raw_client(await start_server(max_input_size=1_000_000))
    info = pb.TensorInfo(dims=[2**31 - 1], datum_type=pb.F64)
    piece = pb.TensorData(info=info, bytes_data=bytes(10_000))
    sent = 0

    async def for_ever():
        nonlocal sent
        while True:
            sent += 1
            yield pb.RunModelRequest(input_tensors=[piece], model_id="m")

    assert await refusal(client.call("RunModel", for_ever())) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "Input is too big",
    )
    assert sent < 2_000


async def test_an_input_as_large_as_allowed_passes(start_server, raw_client, onnx_models):
    client = await raw_client(await start_server(max_input_size=X.nbytes))
    model_id = await client.upload_id(onnx_models.identity("float32", (4,)))
    await client.run(model_id, X, chunk=5)


async def test_a_flood_of_tiny_tensors_is_refused(client, refusal):
    info = [pb.TensorInfo(dims=[0], datum_type=pb.U8, index=n) for n in range(5_000)]
    request = pb.RunModelRequest(input_tensors=[pb.TensorData(info=each) for each in info])
    code, _ = await refusal(client.call("RunModel", iter([request])))
    assert code is grpc.StatusCode.INVALID_ARGUMENT


async def test_bytes_that_are_no_message_are_refused(client, onnx_models, refusal):
    for method in ("SendModel", "RunModel"):
        call = client.attested.stream_unary(f"/securedexchange.Exchange/{method}")
        code, details = await refusal(call(iter([b"\xff" * 100])))
        assert (code, details) == (grpc.StatusCode.INVALID_ARGUMENT, "Malformed message")
    await assert_serves(client, onnx_models)


async def test_a_message_beyond_the_limit_is_refused(
    start_server, raw_client, onnx_models, refusal
):
    client = await raw_client(await start_server(max_message_size=1_000_000))
    code, _ = await refusal(client.upload(bytes(2_000_000), chunk=2_000_000))
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    await assert_serves(client, onnx_models)


async def test_a_compressed_message_is_not_unpacked(client, onnx_models, refusal):
    call = client.attested.stream_unary("/securedexchange.Exchange/SendModel")
    bomb = pb.SendModelRequest(data=bytes(100_000_000)).SerializeToString()
    code, _ = await refusal(call(iter([bomb]), compression=grpc.Compression.Gzip))
    assert code is grpc.StatusCode.UNIMPLEMENTED
    await assert_serves(client, onnx_models)


async def test_a_model_may_not_refer_to_files(client, onnx_models, tmp_path, refusal):
    onnx = pytest.importorskip("onnx")
    secret = tmp_path / "secret"
    secret.write_bytes(b"host secret 1234")
    model = onnx.load_from_string(onnx_models.linear(2, 2))
    (weights,) = model.graph.initializer
    weights.ClearField("raw_data")
    weights.data_location = onnx.TensorProto.EXTERNAL
    weights.external_data.add(key="location", value=str(secret))
    code, details = await refusal(client.upload(model.SerializeToString()))
    assert code is grpc.StatusCode.UNKNOWN
    assert "external" in details
    assert str(tmp_path) not in details


async def test_an_endless_model_is_stopped_when_its_caller_leaves(
    start_server, raw_client, onnx_models
):
    server = await start_server(inference_threads=1)
    client = await raw_client(server)
    model_id = await client.upload_id(onnx_models.endless())
    call = asyncio.ensure_future(client.run(model_id, np.array(0)))
    await asyncio.sleep(0.3)
    call.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await call
    await assert_serves(client, onnx_models)  # by the only thread


async def test_an_endless_model_is_stopped_after_the_time_allowed(
    start_server, raw_client, onnx_models, refusal
):
    client = await raw_client(await start_server(inference_threads=1, inference_timeout=0.4))
    model_id = await client.upload_id(onnx_models.endless())
    assert await asyncio.wait_for(refusal(client.run(model_id, np.array(0))), 60) == (
        grpc.StatusCode.DEADLINE_EXCEEDED,
        "The inference took too long",
    )
    await assert_serves(client, onnx_models)


async def test_callers_that_leave_in_the_middle_leave_nothing_behind(
    server, client, onnx_models, caplog
):
    model_id = await client.upload_id(onnx_models.identity("float32", (4,)))
    pieces = list(client.pieces(X, 0, 4))
    calls = [
        asyncio.ensure_future(
            open_ended(
                client, "RunModel", pb.RunModelRequest(input_tensors=pieces[:1], model_id=model_id)
            )
        )
        for _ in range(50)
    ]
    await asyncio.sleep(0.3)
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    await assert_serves(client, onnx_models)
    await asyncio.wait_for(server.stop(grace=60), 30)  # no call is counted as in flight any more
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


async def test_an_upload_that_is_broken_off_replaces_nothing(client, onnx_models):
    old, new = onnx_models.identity("int8", (1,)), onnx_models.linear(64, 64)
    await client.upload(old, model_id="m")
    for _ in range(20):
        # What came so far would load.
        first = pb.SendModelRequest(data=new, length=len(new) + 1, model_id="m")
        call = asyncio.ensure_future(open_ended(client, "SendModel", first))
        await asyncio.sleep(0.02)
        call.cancel()
    (got,) = await client.predict("m", np.array([7], "int8"))
    assert got.tolist() == [7]


async def test_half_open_connections_do_not_keep_others_out(server, raw_client, onnx_models):
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY and most < 4096:
        pytest.skip(f"only {most} open files are allowed")
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    sockets = []
    try:
        for number in range(1000):
            each = socket.create_connection((server.host, server.attested_port), 5)
            sockets.append(each)
            if number % 2:
                each.sendall(b"\x16\x03\x01")  # the beginning of a TLS handshake
        await assert_serves(await raw_client(server), onnx_models)
    finally:
        for each in sockets:
            each.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
