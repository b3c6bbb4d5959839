"""Keys, tokens and users' names: sent where they have to be, and written down nowhere."""

from __future__ import annotations

import asyncio
import copy
import getpass
import hashlib
import logging
import os
import pickle
import socket
import subprocess
import sys
import textwrap
import traceback

import grpc
import numpy as np
import pytest
from pydantic import SecretStr

import blindai_async
from blindai_async._pb import securedexchange_pb2 as pb
from blindai_async.errors import BlindAIError, CloudLookupError, SimulationModeWarning

RUN_MODEL = "/securedexchange.Exchange/RunModel"
GET_ENCLAVE = "/LicensingService/GetEnclave"
TESTS = __file__.rpartition("/tests/")[0] + "/tests/"
SEND_MODEL = "/securedexchange.Exchange/SendModel"

API_KEY = "the-secret-api-key"
JWT = "the-secret-token"
X = np.full(3, 1234.5, np.float32)


@pytest.fixture
def cloud(scripted, monkeypatch):
    scripted.jwt = JWT
    monkeypatch.setenv("MITHRIL_SERVICES_URL", f"127.0.0.1:{scripted.cloud_port}")
    monkeypatch.setenv("MITHRIL_SERVICES_INSECURE", "true")
    return scripted


def everything_said_of(thing, seen=None, depth=0):
    """The repr of a thing, and of all that it holds, a few levels down."""
    seen = set() if seen is None else seen
    if id(thing) in seen or depth > 5:
        return ""
    seen.add(id(thing))
    said = [repr(thing)]
    held = getattr(thing, "__dict__", None) or {}
    for slot in getattr(type(thing), "__slots__", ()):
        held = held | {slot: getattr(thing, slot, None)}
    ours = [value for value in held.values() if type(value).__module__.startswith("blindai_async")]
    return "\n".join([*said, *(everything_said_of(value, seen, depth + 1) for value in ours)])


@pytest.mark.parametrize("key", [API_KEY, SecretStr(API_KEY)])
async def test_neither_key_nor_token_is_said_by_anything(cloud, caplog, key):
    caplog.set_level(logging.DEBUG)
    with pytest.warns(SimulationModeWarning) as warned:
        connection = blindai_async.connect(simulation=True, api_key=key)
    async with connection:
        response = await connection.predict("m", X, sign=True)
        cloud.answers[RUN_MODEL] = (grpc.StatusCode.PERMISSION_DENIED, "no")
        with pytest.raises(BlindAIError) as caught:
            await connection.predict("m", X)
        said = [
            everything_said_of(connection),
            repr(response),
            "".join(traceback.format_exception(caught.value)),
            repr(vars(caught.value)),
            caplog.text,
            *(str(warning.message) for warning in warned),
        ]
    sent = cloud.calls_of(RUN_MODEL)[0].metadata
    assert sent["accesstoken"] == JWT  # so that there was something to give away
    for text in said:
        assert API_KEY not in text
        assert JWT not in text
    for kept in (pickle.dumps(response), pickle.dumps(caught.value), response.as_bytes()):
        assert API_KEY.encode() not in kept
        assert JWT.encode() not in kept


async def test_inputs_and_models_are_not_logged(connect, scripted, caplog):
    caplog.set_level(logging.DEBUG)
    connection = await connect(scripted)
    await connection.upload_model(b"a secret model", model_id="m")
    await connection.predict("m", X)
    assert "1234.5" not in caplog.text
    assert "secret" not in caplog.text


async def test_a_connection_is_neither_pickled_nor_copied(connect, scripted):
    """What it holds, a channel and a token, has no meaning elsewhere."""
    connection = await connect(scripted)
    for clone in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError):
            clone(connection)


async def test_the_user_is_told_of_only_where_asked(connect, scripted):
    name = f"{socket.gethostname()}-{getpass.getuser()}"
    for options, expected in (
        ({}, ""),
        ({"send_client_uid": True}, hashlib.sha256(name.encode()).hexdigest()),
    ):
        scripted.calls.clear()
        connection = await connect(scripted, **options)
        await connection.upload_model(b"onnx")
        await connection.predict("m", X)
        uploaded, predicted = scripted.calls_of(SEND_MODEL)[0], scripted.calls_of(RUN_MODEL)[0]
        assert pb.SendModelRequest.FromString(uploaded.messages[0]).client_info.uid == expected
        assert pb.RunModelRequest.FromString(predicted.messages[0]).client_info.uid == expected
        await connection.close()


async def test_debug_mode_does_not_write_the_token_down(cloud):
    """All that the process says, in debug mode and as its log advises, gRPC's own log included."""
    program = textwrap.dedent("""
        import asyncio, blindai_async

        async def main():
            connection = blindai_async.connect(
                simulation=True, api_key="the-secret-api-key", debug_mode=True
            )
            async with connection:
                await connection.delete_model("m")
                print("done")

        asyncio.run(main())
    """)
    for advised in ({}, {"GRPC_VERBOSITY": "DEBUG", "GRPC_TRACE": "connectivity_state"}):
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            program,
            env=os.environ | advised,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        said, _ = await process.communicate()
        assert b"done" in said
        assert API_KEY.encode() not in said
        assert JWT.encode() not in said
        assert JWT.encode().hex(" ").encode() not in said
    assert cloud.calls[-1].metadata["accesstoken"] == JWT


def shown_with_variables(error):
    """A traceback as tools print it that show the variables of each frame, but the test's own."""
    report = traceback.TracebackException.from_exception(error, capture_locals=True)
    frames = [frame for frame in report.stack if not frame.filename.startswith(TESTS)]
    return "\n".join(f"{frame.filename} {frame.locals}" for frame in frames)


@pytest.mark.parametrize("key", [API_KEY, SecretStr(API_KEY)])
@pytest.mark.parametrize("failure", ["refused", "no address", "no token"])
async def test_no_variable_of_a_failed_lookup_shows_the_key(cloud, key, failure):
    if failure == "refused":
        cloud.answers[GET_ENCLAVE] = (grpc.StatusCode.PERMISSION_DENIED, f"not {API_KEY}")
    elif failure == "no address":
        cloud.enclave_url = "nowhere"
    else:
        cloud.jwt = JWT + "\n"
    with pytest.warns(SimulationModeWarning):
        connection = blindai_async.connect(simulation=True, api_key=key)
    with pytest.raises(CloudLookupError) as caught:
        await connection
    assert "cloud_lookup.py" in (said := shown_with_variables(caught.value))
    assert API_KEY not in said
    assert JWT not in said


async def test_no_variable_shows_the_token_when_the_callback_of_an_upload_raises(cloud):
    def raise_it(sent, total):
        raise KeyError(sent)

    with pytest.warns(SimulationModeWarning):
        connection = blindai_async.connect(simulation=True, api_key=API_KEY)
    async with connection:
        with pytest.raises(KeyError) as caught:
            await connection.upload_model(bytes(3 << 20), on_progress=raise_it)
    said = shown_with_variables(caught.value)
    assert "streaming.py" in said
    assert API_KEY not in said
    assert JWT not in said


def test_no_variable_of_a_constructor_that_fails_shows_the_key():
    with pytest.raises(ValueError, match="addr") as caught:
        blindai_async.connect("not an address", api_key=API_KEY)
    assert API_KEY not in shown_with_variables(caught.value)
