"""The caller's gRPC interceptors: every kind, on both channels, and on the lookup."""

from __future__ import annotations

import asyncio

import grpc
import numpy as np
import pytest

from blindai_async import Timeouts
from blindai_async._pb import securedexchange_pb2 as pb
from blindai_async.errors import DeadlineExceededError, RequestRejectedError, TransportError

GET_SERVER_INFO = "/untrusted.Attestation/GetServerInfo"
GET_CERTIFICATE = "/untrusted.Attestation/GetCertificate"
RUN_MODEL = "/securedexchange.Exchange/RunModel"
SEND_MODEL = "/securedexchange.Exchange/SendModel"
DELETE_MODEL = "/securedexchange.Exchange/DeleteModel"

X = np.ones(3, np.float32)
LARGE = np.zeros(1 << 20, np.float32)


def path_of(details):
    method = details.method
    return method.decode() if isinstance(method, bytes) else method


class Unary(grpc.aio.UnaryUnaryClientInterceptor):
    def __init__(self):
        self.seen = []

    async def intercept_unary_unary(self, continuation, details, request):
        self.seen.append(path_of(details))
        return await continuation(details, request)


class Streams(grpc.aio.StreamUnaryClientInterceptor):
    def __init__(self):
        self.seen = []

    async def intercept_stream_unary(self, continuation, details, requests):
        self.seen.append(path_of(details))
        return await continuation(details, requests)


class UnaryStream(grpc.aio.UnaryStreamClientInterceptor):
    async def intercept_unary_stream(self, continuation, details, request):
        raise AssertionError("no call of the wire is one")


class StreamStream(grpc.aio.StreamStreamClientInterceptor):
    async def intercept_stream_stream(self, continuation, details, requests):
        raise AssertionError("no call of the wire is one")


async def use(connection):
    await connection.upload_model(b"onnx" * 100_000, sign=True)
    await connection.predict("m", X, sign=True)
    assert (await connection.predict("m", LARGE)).output[0].shape == LARGE.shape
    await connection.delete_model("m")


async def test_both_channels_are_watched(connect, scripted):
    unary, streams = Unary(), Streams()
    await use(await connect(scripted, interceptors=[unary, streams]))
    assert unary.seen == [GET_SERVER_INFO, GET_CERTIFICATE, DELETE_MODEL]
    assert streams.seen == [SEND_MODEL, RUN_MODEL, RUN_MODEL]


async def test_who_watches_streams_sees_small_predictions_as_the_streams_that_they_are(
    connect, scripted
):
    streams = Streams()
    connection = await connect(scripted, interceptors=[streams])
    await connection.predict("m", X)
    assert streams.seen == [RUN_MODEL]


async def test_the_kinds_that_the_wire_has_not_do_no_harm(connect, scripted):
    await use(await connect(scripted, interceptors=(UnaryStream(), StreamStream())))


async def test_they_may_add_metadata_beside_the_token(connect, scripted):
    def with_mark(details):
        metadata = grpc.aio.Metadata(*(details.metadata or ()))
        metadata.add("x-mark", "here")
        return details._replace(metadata=metadata)

    class Mark(grpc.aio.UnaryUnaryClientInterceptor):
        async def intercept_unary_unary(self, continuation, details, request):
            return await continuation(with_mark(details), request)

    class MarkStreams(grpc.aio.StreamUnaryClientInterceptor):
        async def intercept_stream_unary(self, continuation, details, requests):
            return await continuation(with_mark(details), requests)

    await use(await connect(scripted, interceptors=[Mark(), MarkStreams()]))
    assert all(call.metadata["x-mark"] == "here" for call in scripted.calls)


class Tracing(grpc.aio.StreamUnaryClientInterceptor):
    """Awaits the call before it returns it, as OpenTelemetry's does to learn the status."""

    def __init__(self):
        self.codes = []

    async def intercept_stream_unary(self, continuation, details, requests):
        call = await continuation(details, requests)
        self.codes.append(await call.code())
        return call


async def test_one_that_awaits_the_call_does_not_hold_it_up(connect, scripted):
    """A write waits for the interceptor, which waits for the answer to what is not written."""
    tracing = Tracing()
    connection = await connect(scripted, interceptors=[tracing], timeouts=Timeouts(call=5))
    await use(connection)
    scripted.answers[RUN_MODEL] = (grpc.StatusCode.INVALID_ARGUMENT, "no")
    with pytest.raises(RequestRejectedError, match="INVALID_ARGUMENT: no"):
        await connection.predict("m", X)
    assert tracing.codes == [grpc.StatusCode.OK] * 3 + [grpc.StatusCode.INVALID_ARGUMENT]


@pytest.mark.parametrize("interceptor", [Streams, Tracing])
async def test_what_ends_an_upload_early_ends_it_under_them_too(connect, scripted, interceptor):
    connection = await connect(scripted, interceptors=[interceptor()])

    def stop(sent, total):
        raise KeyError("progress")

    with pytest.raises(KeyError, match="progress"):
        await connection.upload_model(bytes(3 << 20), on_progress=stop)

    async def answer_at_once(call):
        await call.read(1)
        payload = pb.Payload(send_model_payload=pb.SendModelPayload(model_id="m"))
        return scripted.reply(payload.SerializeToString(), sign=False)

    scripted.answers[SEND_MODEL] = answer_at_once
    with pytest.raises(TransportError, match="before it had the whole request"):
        await connection.upload_model(bytes(50 << 20))

    async def never(call):
        await asyncio.sleep(60)

    scripted.answers[SEND_MODEL] = never
    upload = asyncio.ensure_future(connection.upload_model(bytes(50 << 20)))
    await asyncio.sleep(0.1)
    upload.cancel()
    with pytest.raises(asyncio.CancelledError):
        await upload
    with pytest.raises(DeadlineExceededError):
        await connection.upload_model(bytes(50 << 20), timeout=0.2)
    scripted.answers.clear()
    await connection.predict("m", X, sign=True)


async def test_statuses_come_through_them(connect, scripted):
    connection = await connect(scripted, interceptors=[Unary(), Streams()])
    for path in (RUN_MODEL, SEND_MODEL, DELETE_MODEL):
        scripted.answers[path] = (grpc.StatusCode.INVALID_ARGUMENT, "no")
    for call in (
        connection.predict("m", X),
        connection.predict("m", LARGE),
        connection.upload_model(b"onnx"),
        connection.delete_model("m"),
    ):
        with pytest.raises(RequestRejectedError, match="INVALID_ARGUMENT: no"):
            await call


async def test_an_early_status_comes_through_them(connect, scripted):
    async def refuse(call):
        await call.read(1)
        await call.context.abort(grpc.StatusCode.INVALID_ARGUMENT, "Model is too big")

    scripted.answers[SEND_MODEL] = refuse
    connection = await connect(scripted, interceptors=[Streams()])
    for _ in range(8):
        with pytest.raises(RequestRejectedError, match="Model is too big"):
            await connection.upload_model(bytes(20 << 20))


async def test_what_one_raises_reaches_the_caller(connect, make_connection, scripted):
    class Broken(grpc.aio.UnaryUnaryClientInterceptor):
        async def intercept_unary_unary(self, continuation, details, request):
            raise KeyError("the interceptor's")

    with pytest.raises(KeyError, match="interceptor's"):
        await make_connection(scripted, interceptors=[Broken()])

    class BrokenStreams(grpc.aio.StreamUnaryClientInterceptor):
        async def intercept_stream_unary(self, continuation, details, requests):
            raise KeyError("the interceptor's")

    connection = await connect(scripted, interceptors=[BrokenStreams()])
    with pytest.raises(KeyError, match="interceptor's"):
        await connection.predict("m", X)


async def test_what_is_no_interceptor_is_refused(make_connection, scripted):
    with pytest.raises(ValueError, match=r"[Ii]nterceptor"):
        await make_connection(scripted, interceptors=[object()])


async def test_a_forged_reply_is_refused_behind_them_too(connect, scripted):
    async def forge(call):
        return await scripted.echo(call, model_id="another")

    scripted.answers[RUN_MODEL] = forge
    connection = await connect(scripted, interceptors=[Unary(), Streams()])
    with pytest.raises(TransportError, match="another model"):
        await connection.predict("m", X)
