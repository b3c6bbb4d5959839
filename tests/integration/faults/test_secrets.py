"""Tokens and keys in no text, and no text of a peer's as it came."""

from __future__ import annotations

import logging
import pickle
import traceback

import grpc
import pytest
from machine import SECRET_INPUT
from relay import Relay

from blindai_async._pb import licensing_pb2
from blindai_async.errors import BlindAIError, CloudLookupError, TransportError

API_KEY = "the-api-key-that-nobody-may-see"
JWT = "the.jwt.that-nobody-may-see"
NASTY = "two\r\nlines \x1b[2J\x07 \u202e\u2028 " + "long" * 300


def texts_of(error):
    """All that a log or a crash report could make of an error."""
    chain, seen = [], error
    while seen is not None:
        chain += [str(seen), repr(seen), repr(seen.args), repr(vars(seen))]
        seen = seen.__cause__ or seen.__context__
    chain.append("".join(traceback.format_exception(error)))
    chain.append(pickle.dumps(error).decode("latin1"))
    return chain


@pytest.fixture
async def cloud(machine, monkeypatch, tmp_path):
    """The licensing service, which gives out JWT for the machine; `reply` may be changed."""

    class Handler(grpc.GenericRpcHandler):
        reply = licensing_pb2.GetEnclaveReply(jwt=JWT)
        abort_with = None

        def service(self, details):
            async def answer(request, context):
                if self.abort_with:
                    await context.abort(*self.abort_with)
                return self.reply.SerializeToString()

            return grpc.unary_unary_rpc_method_handler(answer)

    handler = Handler()
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers([handler])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    policy = tmp_path / "policy.toml"
    policy.write_text(machine.quoting.platform.policy_toml)
    monkeypatch.setenv("MITHRIL_SERVICES_URL", f"127.0.0.1:{port}")
    monkeypatch.setenv("MITHRIL_SERVICES_INSECURE", "true")
    monkeypatch.setenv("MITHRIL_SERVICES_POLICY", str(policy))
    yield handler
    await server.stop(None)


@pytest.fixture
def everything_logged(caplog):
    caplog.set_level(logging.DEBUG)
    return caplog


def connect_by_cloud(machine, cloud, **ports):
    attested = ports.get("attested_port", machine.attested_port)
    untrusted = ports.get("untrusted_port", machine.untrusted_port)
    cloud.reply.enclave_url = f"127.0.0.1:{attested}/{untrusted}"
    return machine.connection(
        addr=None, policy=None, certificate=None, api_key=API_KEY, debug_mode=True
    )


async def test_secrets_stand_in_no_text_of_a_connection(machine, cloud, everything_logged):
    connection = connect_by_cloud(machine, cloud)
    for _ in range(2):
        manager = connection._manager
        for thing in (connection, connection._config, manager.plan, manager.enclave):
            for text in (repr(thing), str(thing)):
                assert API_KEY not in text
                assert JWT not in text
        if not connection.closed:
            await connection
    await connection.predict("echo", SECRET_INPUT, sign=True)
    await connection.close()
    assert API_KEY not in everything_logged.text
    assert JWT not in everything_logged.text


async def test_a_peer_that_repeats_the_token_does_not_get_it_shown(
    machine, cloud, everything_logged
):
    async with Relay(machine.attested_port, machine.steal()[1], machine.steal()) as relay:
        relay.abort_with = (grpc.StatusCode.PERMISSION_DENIED, f"who are you, {JWT}?")
        async with connect_by_cloud(machine, cloud, attested_port=relay.port) as connection:
            for call in (
                lambda: connection.predict("echo", SECRET_INPUT),
                lambda: connection.upload_model(b"model"),
                lambda: connection.delete_model("echo"),
            ):
                with pytest.raises(TransportError, match=r"who are you, \*+\?") as caught:
                    await call()
                assert not any(JWT in text for text in texts_of(caught.value))
    assert JWT not in everything_logged.text


async def test_a_host_that_repeats_the_token_does_not_get_it_shown(machine, cloud):
    host = machine.server.host_certificate_pem
    async with Relay(machine.untrusted_port, host, machine.steal("host")) as relay:
        relay.abort_with = (grpc.StatusCode.INTERNAL, f"who are you, {JWT}?")
        with pytest.raises(TransportError, match="who are you") as caught:
            await connect_by_cloud(machine, cloud, untrusted_port=relay.port)
    assert not any(JWT in text for text in texts_of(caught.value))


async def test_a_cloud_that_repeats_the_key_does_not_get_it_shown(machine, cloud):
    cloud.abort_with = (grpc.StatusCode.UNAUTHENTICATED, f"no such key: {API_KEY}")
    with pytest.raises(CloudLookupError, match="no such key") as caught:
        await connect_by_cloud(machine, cloud)
    assert not any(API_KEY in text for text in texts_of(caught.value))


def assert_presentable(text):
    assert text.translate({ord(c): " " for c in "\n\t"}).isprintable()
    assert len(text) < 20_000
    assert "long" * 200 not in text


@pytest.mark.parametrize("port", ["attested", "untrusted"])
@pytest.mark.parametrize("code", ["INVALID_ARGUMENT", "INTERNAL", "UNAVAILABLE", "CANCELLED"])
async def test_a_peers_text_is_made_presentable_in_all_that_is_printed(
    machine, everything_logged, port, code
):
    upstream = {
        "attested": (machine.attested_port, machine.steal()[1], machine.steal()),
        "untrusted": (
            machine.untrusted_port,
            machine.server.host_certificate_pem,
            machine.steal("host"),
        ),
    }[port]
    async with Relay(*upstream) as relay:
        relay.abort_with = (grpc.StatusCode[code], NASTY)
        with pytest.raises(BlindAIError) as caught:
            async with machine.connection(**{f"{port}_port": relay.port}) as connection:
                await connection.predict("echo", SECRET_INPUT, timeout=3)
        assert "two  lines" in str(caught.value)
    assert str(caught.value).isprintable()
    assert_presentable("".join(traceback.format_exception(caught.value)))
    for record in everything_logged.records:
        if record.name.startswith("blindai_async"):
            assert_presentable(record.getMessage())


async def test_a_version_made_of_control_characters(machine):
    from blindai_async._pb import untrusted_pb2
    from blindai_async.errors import VersionError

    host = machine.server.host_certificate_pem
    reply = untrusted_pb2.GetServerInfoReply(version="0.5." + NASTY).SerializeToString()
    async with Relay(machine.untrusted_port, host, machine.steal("host")) as relay:
        relay.tamper = lambda *_: reply
        with pytest.raises(VersionError) as caught:
            await machine.connection(untrusted_port=relay.port)
    assert caught.value.server_version.isprintable()
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 200
