"""Starting, draining and stopping, and what health checks say meanwhile."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys

import grpc
import numpy as np
import pytest

from blindai_async._pb import health_pb2
from blindai_async._pb import securedexchange_pb2 as pb
from blindai_async.server import BlindAIServer, run_until_signalled

SERVING, NOT_SERVING, SERVICE_UNKNOWN = 1, 2, 3
SERVICES = {"attested": "securedexchange.Exchange", "untrusted": "untrusted.Attestation"}


def health(channel, method, service=""):
    make = {"Check": channel.unary_unary, "Watch": channel.unary_stream}[method]
    call = make(
        f"/grpc.health.v1.Health/{method}",
        response_deserializer=health_pb2.HealthCheckResponse.FromString,
    )
    return call(health_pb2.HealthCheckRequest(service=service).SerializeToString())


async def half_a_prediction(client, model_id, array):
    """A call in flight, and what lets it finish."""
    written, go_on = asyncio.Event(), asyncio.Event()
    first, second = client.pieces(array, 0, array.nbytes // 2)

    async def messages():
        yield pb.RunModelRequest(input_tensors=[first], model_id=model_id)
        written.set()
        await go_on.wait()
        yield pb.RunModelRequest(input_tensors=[second], model_id=model_id)

    call = asyncio.ensure_future(client.call("RunModel", messages()))
    await written.wait()
    await health(client.attested, "Check")  # comes after it, on the same connection
    return call, go_on


async def test_the_constructor_does_no_io(tmp_path):
    server = BlindAIServer(directory=tmp_path / "new", models={"m": tmp_path / "missing"})
    assert not (tmp_path / "new").exists()
    with pytest.raises(RuntimeError, match="not running"):
        _ = server.enclave_certificate
    await server.stop()  # of what never started: nothing to do


@pytest.mark.parametrize(
    "options", [{"max_model_size": 0}, {"stream_timeout": -1}, {"inference_threads": -1}]
)
def test_a_limit_that_is_none_is_refused(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        BlindAIServer(**options)


async def test_it_says_what_it_is_for(start_server, caplog):
    with caplog.at_level(logging.WARNING, "blindai_async.server"):
        await start_server()
    assert "development, tests and demos" in caplog.text
    assert "simulation mode" in caplog.text


async def test_the_enclaves_identity_is_new_at_every_start_and_the_hosts_is_kept(
    start_server, tmp_path
):
    one, two = await start_server(directory=tmp_path), await start_server(directory=tmp_path)
    assert one.enclave_certificate != two.enclave_certificate
    assert one.enclave_signing_key != two.enclave_signing_key
    assert one.host_certificate_pem == two.host_certificate_pem
    assert (tmp_path / "host_server.pem").read_bytes() == one.host_certificate_pem


async def test_a_temporary_directory_is_removed(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    async with BlindAIServer(attested_port=0, untrusted_port=0):
        assert len(list(tmp_path.iterdir())) == 1
    assert list(tmp_path.iterdir()) == []


async def test_a_server_starts_once(server):
    with pytest.raises(RuntimeError, match="once"):
        await server.start()


async def test_a_taken_port_is_an_error_and_leaves_nothing_open(start_server):
    first = await start_server()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free = probe.getsockname()[1]
    with pytest.raises(OSError, match=str(first.attested_port)):
        await start_server(attested_port=free, untrusted_port=first.attested_port)
    await start_server(attested_port=free)


async def test_models_are_loaded_at_start(start_server, raw_client, onnx_models, tmp_path):
    path = tmp_path / "m.onnx"
    path.write_bytes(onnx_models.identity("int8", (1,)))
    client = await raw_client(await start_server(models={"mine": str(path)}))
    (got,) = await client.predict("mine", np.array([7], "int8"))
    assert got.tolist() == [7]


@pytest.mark.parametrize(("content", "error"), [(b"no model", ValueError), (None, OSError)])
async def test_a_model_that_does_not_load_at_start_is_an_error(
    start_server, tmp_path, content, error
):
    path = tmp_path / "m.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(error, match=r"m\.onnx"):
        await start_server(models={"mine": path})


@pytest.mark.parametrize("port", SERVICES)
async def test_health_is_told_on_both_ports(client, refusal, port):
    channel = getattr(client, port)
    for service in ("", SERVICES[port]):
        assert (await health(channel, "Check", service)).status == SERVING
    code, _ = await refusal(health(channel, "Check", "nobody's"))
    assert code is grpc.StatusCode.NOT_FOUND
    watch = health(channel, "Watch", "nobody's")
    assert (await watch.read()).status == SERVICE_UNKNOWN
    watch.cancel()


async def test_a_call_in_flight_finishes_while_new_ones_are_refused(
    start_server, raw_client, onnx_models, refusal
):
    server = await start_server(grace=30.0)
    client = await raw_client(server)
    model_id = await client.upload_id(onnx_models.identity("float32", (4,)))
    watch = health(client.untrusted, "Watch")
    assert (await watch.read()).status == SERVING
    call, go_on = await half_a_prediction(client, model_id, np.ones(4, "float32"))
    stopping = asyncio.ensure_future(server.stop())
    assert (await watch.read()).status == NOT_SERVING
    assert (await health(client.attested, "Check")).status == NOT_SERVING
    code, _ = await refusal(client.run(model_id, np.ones(4, "float32")))
    assert code is grpc.StatusCode.UNAVAILABLE
    assert not stopping.done()
    go_on.set()
    assert (await call).payload
    await asyncio.wait_for(stopping, 25)  # the grace is 30 s
    await asyncio.wait_for(server.wait_closed(), 25)


async def test_a_call_that_outlasts_the_grace_is_cancelled(
    start_server, raw_client, onnx_models, refusal
):
    server = await start_server()
    client = await raw_client(server)
    model_id = await client.upload_id(onnx_models.identity("float32", (4,)))
    call, _ = await half_a_prediction(client, model_id, np.ones(4, "float32"))
    await asyncio.wait_for(server.stop(grace=0.2), 60)
    code, _ = await refusal(call)
    assert code in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}


async def test_a_second_stop_shortens_the_grace(start_server, raw_client, onnx_models, refusal):
    server = await start_server(grace=60.0)
    client = await raw_client(server)
    model_id = await client.upload_id(onnx_models.identity("float32", (4,)))
    call, _ = await half_a_prediction(client, model_id, np.ones(4, "float32"))
    stopping = asyncio.ensure_future(server.stop())
    await asyncio.sleep(0)
    await asyncio.wait_for(server.stop(grace=0), 30)  # the grace was 60 s
    await asyncio.wait_for(stopping, 30)
    await refusal(call)


PROGRAM = """
from blindai_async.server import BlindAIServer, serve
def ready(server):
    print(server.attested_port, server.untrusted_port, flush=True)
serve(BlindAIServer(attested_port=0, untrusted_port=0, grace=20.0), on_ready=ready)
print("drained", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_drains_a_served_process(onnx_models, raw_client, number):
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        PROGRAM,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    try:
        attested, untrusted = map(int, (await process.stdout.readline()).split())
        remote = BlindAIServer(attested_port=attested, untrusted_port=untrusted)
        client = await raw_client(remote, certificate=await presented(untrusted))
        model_id = await client.upload_id(onnx_models.identity("float32", (4,)))
        call, go_on = await half_a_prediction(client, model_id, np.ones(4, "float32"))
        process.send_signal(number)
        async with asyncio.timeout(60):
            while (await health(client.attested, "Check")).status == SERVING:
                pass
        assert process.returncode is None
        go_on.set()
        assert (await call).payload
        assert (await asyncio.wait_for(process.stdout.read(), 60)) == b"drained\n"
        assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_a_loop_without_signal_handlers_of_its_own_is_told_too(monkeypatch):
    """As on Windows."""

    def none(number, handler, *args):
        raise NotImplementedError

    monkeypatch.setattr(asyncio.get_running_loop(), "add_signal_handler", none)
    before = signal.getsignal(signal.SIGTERM)
    server = BlindAIServer(attested_port=0, untrusted_port=0)
    ready = asyncio.Event()
    running = asyncio.ensure_future(
        run_until_signalled(server, on_ready=lambda server: ready.set())
    )
    await asyncio.wait_for(ready.wait(), 60)
    signal.raise_signal(signal.SIGTERM)
    await asyncio.wait_for(running, 60)
    assert signal.getsignal(signal.SIGTERM) == before


NOISE = """
import asyncio, ssl, sys, warnings
from blindai_async.server import BlindAIServer
from blindai_async.server.identity import make_enclave_identity

async def main():
    async with BlindAIServer(attested_port=0, untrusted_port=0, grace=0.0) as server:
        import grpc

        credentials = grpc.ssl_channel_credentials(make_enclave_identity().certificate_pem)
        options = [("grpc.ssl_target_name_override", "blindai-srv")]
        target = f"127.0.0.1:{server.attested_port}"
        async with grpc.aio.secure_channel(target, credentials, options) as channel:
            try:
                await channel.unary_unary("/x/y")(b"", timeout=5)
            except grpc.aio.AioRpcError:
                return
            raise AssertionError("a wrong certificate was taken")

asyncio.run(main())
"""


@pytest.mark.parametrize("verbosity", [None, "INFO"])
async def test_grpc_writes_nothing_past_pythons_logging_unless_it_is_asked_to(verbosity):
    env = {name: value for name, value in os.environ.items() if name != "GRPC_VERBOSITY"}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", NOISE),
        stderr=asyncio.subprocess.PIPE,
        env=env | ({} if verbosity is None else {"GRPC_VERBOSITY": verbosity}),
    )
    _, errors = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, errors
    assert (b"ssl_transport_security" in errors) == (verbosity is not None)


async def presented(port):
    import ssl

    return (await asyncio.to_thread(ssl.get_server_certificate, ("127.0.0.1", port))).encode()
