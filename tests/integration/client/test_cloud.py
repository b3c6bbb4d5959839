"""No address: the licensing service is asked, and its token goes with every call."""

from __future__ import annotations

import asyncio
import traceback

import grpc
import numpy as np
import pytest

import blindai_async
from blindai_async import Timeouts
from blindai_async._pb import licensing_pb2
from blindai_async.errors import (
    BlindAIError,
    CloudLookupError,
    DeadlineExceededError,
    HardwareModeUnsupportedError,
    PolicyFormatError,
    SimulationModeWarning,
    TransportError,
)

GET_ENCLAVE = "/LicensingService/GetEnclave"
API_KEY = "the-secret-api-key"
X = np.ones(3, np.float32)


@pytest.fixture
def cloud(scripted, monkeypatch):
    """The scripted server as the cloud, reached as a user reaches a cloud of their own."""
    monkeypatch.setenv("MITHRIL_SERVICES_URL", f"127.0.0.1:{scripted.cloud_port}")
    monkeypatch.setenv("MITHRIL_SERVICES_INSECURE", "true")
    monkeypatch.delenv("MITHRIL_SERVICES_POLICY", raising=False)
    return scripted


def connection(**options):
    options = {"simulation": True, "api_key": API_KEY} | options
    if not options["simulation"]:
        return blindai_async.connect(**options)
    with pytest.warns(SimulationModeWarning):
        return blindai_async.connect(**options)


async def test_the_enclave_is_looked_up_by_the_key(cloud):
    async with connection() as conn:
        await conn.predict("m", X)
    (lookup,) = cloud.calls_of(GET_ENCLAVE)
    request = licensing_pb2.GetEnclaveRequest.FromString(lookup.messages[0])
    assert request.api_key == API_KEY
    assert "Mithril Security Cloud" in repr(conn)


async def test_without_a_key_it_is_asked_for_what_is_public(cloud):
    async with connection(api_key=None):
        pass
    (lookup,) = cloud.calls_of(GET_ENCLAVE)
    assert licensing_pb2.GetEnclaveRequest.FromString(lookup.messages[0]).api_key == ""


async def test_the_token_goes_with_every_call_of_both_ports(cloud):
    async with connection() as conn:
        await conn.upload_model(b"onnx")
        await conn.predict("m", X)
        await conn.predict("m", np.zeros(1 << 20, np.float32))
        await conn.delete_model("m")
    assert len(cloud.calls) == 7
    for call in cloud.calls:
        if call.path != GET_ENCLAVE:
            assert call.metadata["accesstoken"] == cloud.jwt, call.path


async def test_no_token_is_no_metadata(cloud):
    cloud.jwt = ""
    async with connection() as conn:
        await conn.predict("m", X)
    assert all("accesstoken" not in call.metadata for call in cloud.calls)


async def test_with_an_address_nobody_is_asked_and_no_token_goes(connect, cloud):
    conn = await connect(cloud, api_key=API_KEY)
    await conn.predict("m", X)
    assert cloud.calls_of(GET_ENCLAVE) == []
    assert all("accesstoken" not in call.metadata for call in cloud.calls)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "host",
        "host:1",
        "host/2",
        "host:a/b",
        "host:1/2/3",
        "host:0/1",
        "host:1/70000",
        "host:-1/2",
        ":1/2",
        "a b:1/2",
        "user@host:1/2",
        "a" * 64 + ":1/2",
        "two..dots:1/2",
        "nul\x00byte:1/2",
        "https://host:1/2",
        "ho\nst:1/2",
        "host:1/2\x1b[2J" + "a" * 1000,
    ],
)
async def test_an_address_that_is_none_is_the_clouds_fault(cloud, url):
    cloud.enclave_url = url
    with pytest.raises(CloudLookupError) as caught:
        await connection()
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 800


@pytest.mark.parametrize(
    "jwt", ["two\nlines", "t\x00ken", "gr\u00fc\u00dfe", "tab\tbed", "a" * 100_000]
)
async def test_a_token_that_is_no_header_is_the_clouds_fault_and_not_shown(cloud, jwt, caplog):
    cloud.jwt = jwt
    with pytest.raises(BlindAIError) as caught:
        await connection()
    shown = "".join(traceback.format_exception(caught.value)) + caplog.text
    assert jwt not in shown
    assert repr(jwt) not in shown


@pytest.mark.parametrize(
    "code", [grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED]
)
async def test_a_refused_key_is_said_and_not_shown(cloud, code):
    cloud.answers[GET_ENCLAVE] = (code, "unknown key")
    with pytest.raises(CloudLookupError, match="unknown key") as caught:
        await connection()
    assert caught.value.code == code.name
    assert isinstance(caught.value, ConnectionError)
    assert API_KEY not in "".join(traceback.format_exception(caught.value))


async def test_garbage_for_an_answer_is_refused(cloud):
    for reply in (b"\xff", b"\x0a\x7f", b"\x12\x02\xff\xff"):
        cloud.answers[GET_ENCLAVE] = reply
        with pytest.raises(CloudLookupError):
            await connection()


async def test_a_cloud_that_does_not_answer_is_left_at_the_deadline(cloud):
    async def never(call):
        await asyncio.sleep(60)

    cloud.answers[GET_ENCLAVE] = never
    with pytest.raises((CloudLookupError, DeadlineExceededError)) as caught:
        await connection(timeouts=Timeouts(connect=0.2))
    assert caught.value.code == "DEADLINE_EXCEEDED"


async def test_a_cloud_that_is_not_there_is_a_connection_error(cloud, monkeypatch):
    monkeypatch.setenv("MITHRIL_SERVICES_URL", "127.0.0.1:1")
    with pytest.raises(CloudLookupError, match=r"127\.0\.0\.1:1"):
        await connection(timeouts=Timeouts(connect=2))


async def test_plain_text_is_spoken_only_where_that_was_asked_for(cloud, monkeypatch):
    for value in ("false", "", "1", "yes"):
        monkeypatch.setenv("MITHRIL_SERVICES_INSECURE", value)
        with pytest.raises(TransportError):
            await connection(timeouts=Timeouts(connect=1))
    assert cloud.calls == []


async def test_what_the_cloud_says_is_not_trusted_for_it(cloud):
    """It names a simulation server; hardware mode wants evidence all the same."""
    with pytest.raises(HardwareModeUnsupportedError):
        await connection(simulation=False)


async def test_the_clouds_policy_is_the_users_file(cloud, monkeypatch, tmp_path):
    monkeypatch.setenv("MITHRIL_SERVICES_POLICY", str(tmp_path / "no.toml"))
    with pytest.raises(FileNotFoundError):
        await connection(simulation=False)
    (tmp_path / "bad.toml").write_text("mr_enclave = 3")
    monkeypatch.setenv("MITHRIL_SERVICES_POLICY", str(tmp_path / "bad.toml"))
    with pytest.raises(PolicyFormatError):
        await connection(simulation=False, policy=tmp_path / "ignored.toml")
