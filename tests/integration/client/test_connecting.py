"""Opening a connection: what is asked, what is refused, and what is left behind by a failure."""

from __future__ import annotations

import asyncio
import linecache
import logging
import warnings

import numpy as np
import pytest

import blindai_async
from blindai_async import Timeouts
from blindai_async._pb import untrusted_pb2
from blindai_async.errors import (
    AttestationError,
    BlindAIError,
    HardwareModeUnsupportedError,
    PolicyFormatError,
    SimulationModeWarning,
    TransportError,
    UnverifiedHostWarning,
    VersionError,
)

GET_SERVER_INFO = "/untrusted.Attestation/GetServerInfo"
GET_CERTIFICATE = "/untrusted.Attestation/GetCertificate"
GET_EVIDENCE = "/untrusted.Attestation/GetSgxQuoteWithCollateral"


def paths(server):
    return [call.path for call in server.calls]


async def test_simulation_asks_for_version_and_certificate_and_nothing_else(connect, scripted):
    connection = await connect(scripted)
    assert paths(scripted) == [GET_SERVER_INFO, GET_CERTIFICATE]
    assert connection.server_version == "0.5.1"
    assert connection.enclave_signing_key == scripted.signer.public_key().public_bytes_raw()
    assert connection.attestation is connection.policy is connection.claims is None
    assert connection.simulation_mode is True
    assert connection.closed is False
    assert connection.input_specs is connection.output_specs is None
    assert connection.client_info.user_agent == "blindai_async"


async def test_making_a_connection_sends_nothing(make_connection, scripted):
    connection = make_connection(scripted)
    await asyncio.sleep(0.05)
    assert scripted.calls == []
    assert connection.server_version is connection.enclave_signing_key is None
    assert connection.closed is False


def test_a_connection_can_be_made_without_a_loop(make_connection):
    class Ports:
        attested_port, untrusted_port = 1, 2

    assert "unopened" in repr(make_connection(Ports))


@pytest.mark.parametrize("how", ["await", "async with", "both"])
async def test_it_opens_either_way(make_connection, scripted, how):
    connection = make_connection(scripted)
    if how != "async with":
        assert await connection is connection
    if how != "await":
        async with connection as entered:
            assert entered is connection
            await connection.delete_model("m")
        assert connection.closed
    await connection.close()
    assert paths(scripted).count(GET_SERVER_INFO) == 1


async def test_opened_twice_at_once_it_shakes_hands_once(make_connection, scripted):
    connection = make_connection(scripted)

    async def opened():
        return await connection

    assert await asyncio.gather(opened(), opened(), opened()) == [connection] * 3
    assert paths(scripted) == [GET_SERVER_INFO, GET_CERTIFICATE]
    await connection.close()


@pytest.mark.parametrize("version", ["0.5.0", "0.5.99", "0.5.1-beta", "0.5.1+build.7", "0.5.x"])
async def test_every_0_5_is_spoken_to(connect, scripted, version):
    scripted.version = version
    assert (await connect(scripted)).server_version == version


@pytest.mark.parametrize(
    "version",
    [
        "0.4.9",
        "0.6.0",
        "1.5.1",
        "0.5",
        "0.5.",
        "",
        "0.5.1\n",
        " 0.5.1",
        "v0.5.1",
        "0.50.1",
        "0x5.1",
        "0.5.\u0661",
        "0.5.1\x1b[2J",
        "0.5." + "1" * 10_000,
        "a" * 10_000,
    ],
)
async def test_any_other_version_is_refused_before_anything_else_is_asked(
    make_connection, scripted, version
):
    scripted.version = version
    with pytest.raises(VersionError) as caught:
        await make_connection(scripted)
    assert paths(scripted) == [GET_SERVER_INFO]
    for text in (str(caught.value), caught.value.server_version):
        assert len(text) < 200
        assert text == "" or text.isprintable()


async def test_hardware_mode_is_not_offered_by_a_simulation_server(make_connection, scripted):
    with pytest.raises(HardwareModeUnsupportedError, match="simulation=True"):
        await make_connection(scripted, simulation=False)
    assert paths(scripted) == [GET_SERVER_INFO, GET_EVIDENCE]


async def test_evidence_that_proves_nothing_is_refused(make_connection, scripted):
    reply = untrusted_pb2.GetSgxQuoteWithCollateralReply
    for evidence in (
        reply(),
        reply(enclave_held_data=scripted.enclave.der),
        reply(
            quote=bytes(1000),
            collateral=untrusted_pb2.SgxCollateral(),
            enclave_held_data=scripted.enclave.der,
        ),
    ):
        scripted.answers[GET_EVIDENCE] = evidence.SerializeToString()
        with pytest.raises(AttestationError):
            await make_connection(scripted, simulation=False)
    assert GET_CERTIFICATE not in paths(scripted)


@pytest.mark.parametrize("path", [GET_SERVER_INFO, GET_CERTIFICATE])
@pytest.mark.parametrize("reply", [b"\xff\xff", b"\x0a\x7f", b"\x0a\x02\xff\xfe"])
async def test_garbage_from_the_untrusted_port_is_refused(make_connection, scripted, path, reply):
    scripted.answers[path] = reply
    with pytest.raises(BlindAIError):
        await make_connection(scripted)


async def test_a_reply_of_the_untrusted_port_is_bounded(make_connection, scripted):
    scripted.version = "1" * (5 << 20)
    with pytest.raises(TransportError) as caught:
        await make_connection(scripted)
    assert caught.value.code == "RESOURCE_EXHAUSTED"


async def test_a_certificate_that_is_none_is_refused(make_connection, scripted):
    der = scripted.enclave.der
    for certificate in (b"", b"garbage", der[:-1], der + b"\0", bytes(1 << 20)):
        scripted.certificate = certificate
        with pytest.raises(AttestationError):
            await make_connection(scripted)


@pytest.mark.parametrize("key", [None, b"", b"k" * 31, b"k" * 33])
async def test_a_certificate_without_a_signing_key_is_refused(make_connection, scripted, key):
    scripted.certificate = type(scripted.enclave)(signing_key=key).der
    with pytest.raises(AttestationError, match="signing key"):
        await make_connection(scripted)


async def test_another_certificate_than_the_enclaves_opens_nothing(make_connection, scripted):
    scripted.certificate = type(scripted.enclave)(signing_key=b"k" * 32).der
    with pytest.raises(TransportError, match="attested port"):
        await make_connection(scripted)


async def test_the_certificates_name_is_checked(make_connection, scripted):
    with pytest.raises(TransportError):
        await make_connection(scripted, server_name="another-name")
    await (await make_connection(scripted, server_name="blindai-srv")).close()


class TestTheHostsCertificate:
    async def test_secures_the_untrusted_port(self, make_connection, scripted, tmp_path):
        path = tmp_path / "host_server.pem"
        path.write_bytes(scripted.host_identity.pem)
        with pytest.raises(HardwareModeUnsupportedError):  # the server was reached, and answered
            await make_connection(scripted, simulation=False, certificate=path)

    async def test_of_another_host_stops_before_anything_is_asked(
        self, make_connection, scripted, tmp_path
    ):
        path = tmp_path / "other.pem"
        path.write_bytes(scripted.enclave.pem)
        with pytest.raises(TransportError):
            await make_connection(
                scripted,
                simulation=False,
                certificate=str(path),
                timeouts=Timeouts(connect=2),
            )
        assert scripted.calls == []

    async def test_that_is_not_there_or_none_is_named(self, make_connection, scripted, tmp_path):
        with pytest.raises(FileNotFoundError):
            await make_connection(scripted, simulation=False, certificate=tmp_path / "no.pem")
        (tmp_path / "text.pem").write_text("not a certificate")
        with pytest.raises(ValueError, match=r"text\.pem"):
            await make_connection(scripted, simulation=False, certificate=tmp_path / "text.pem")
        assert scripted.calls == []

    async def test_is_not_looked_at_in_simulation_mode(self, connect, scripted, tmp_path):
        await connect(scripted, certificate=tmp_path / "no.pem", policy=tmp_path / "no.toml")


async def test_a_policy_is_read_before_anything_is_asked(make_connection, scripted, tmp_path):
    with pytest.raises(FileNotFoundError):
        await make_connection(scripted, simulation=False, policy=tmp_path / "no.toml")
    (tmp_path / "bad.toml").write_text("mr_enclave = 3")
    with pytest.raises(PolicyFormatError):
        await make_connection(scripted, simulation=False, policy=tmp_path / "bad.toml")
    assert scripted.calls == []


@pytest.mark.parametrize(
    ("options", "warning"),
    [
        ({"simulation": True}, SimulationModeWarning),
        ({}, UnverifiedHostWarning),
    ],
)
def test_missing_protection_warns_once_where_the_connection_is_made(caplog, options, warning):
    caplog.set_level(logging.WARNING, logger="blindai_async")
    with pytest.warns(warning) as warned:
        blindai_async.connect("localhost", **options)
    (only,) = warned.list
    line = linecache.getline(only.filename, only.lineno)
    assert (only.filename, line.strip()) == (
        __file__,
        'blindai_async.connect("localhost", **options)',
    )
    assert caplog.records == []  # said once, and not logged besides


async def test_opening_warns_of_nothing_more(make_connection, scripted, caplog):
    connection = make_connection(scripted)
    caplog.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        async with connection:
            await connection.predict("m", np.ones(3, np.float32))
    assert [r for r in caplog.records if r.levelno >= logging.WARNING] == []


@pytest.mark.parametrize("addr", ["localhost", "https://127.0.0.1/", " 127.0.0.1 "])
async def test_an_address_may_be_written_in_many_ways(connect, scripted, addr):
    await connect(scripted, addr=addr)


@pytest.mark.parametrize(
    "options",
    [
        {"addr": ""},
        {"addr": "http://localhost"},
        {"addr": "localhost:50051"},
        {"addr": "localhost", "attested_port": 0},
        {"addr": "localhost", "untrusted_port": 70_000},
        {"addr": "localhost", "max_reply_bytes": 0},
        {"addr": "localhost", "chunk_size": 0},
        {"addr": "localhost", "chunk_size": -1},
        {"addr": "localhost", "reattest": "sometimes"},
    ],
)
def test_what_cannot_be_connected_to_is_refused_at_once(options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(ValueError, match=r".+"):
            blindai_async.connect(simulation=True, **options)
