"""A server as a process: ready, used, drained."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import tomllib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import grpc
import numpy as np
import pytest
from dcap_qvl_judge import judge

from blindai_async import TrustRoot, connect
from blindai_async._pb.untrusted_pb2 import GetSgxQuoteWithCollateralReply
from blindai_async.errors import RequestRejectedError
from blindai_async.server.tee.emulated import EmulatedPlatform, Evidence

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from blindai_async.server import BlindAIServer

pytestmark = pytest.mark.filterwarnings("ignore::blindai_async.errors.SecurityWarning")

FREE_PORTS = ("--attested-port=0", "--untrusted-port=0")


@pytest.fixture
async def serve(start_cli: Any) -> AsyncIterator[Any]:
    """Starts `serve` on free ports; returns the process and what it printed when ready."""
    processes = []

    async def start(*arguments: object) -> tuple[asyncio.subprocess.Process, Any]:
        process = await start_cli("serve", *FREE_PORTS, "--json", *arguments)
        processes.append(process)
        ready = await asyncio.wait_for(process.stdout.readline(), 60)
        assert ready, await process.stderr.read()
        return process, json.loads(ready)

    yield start
    for process in processes:
        if process.returncode is None:
            process.kill()
        await process.communicate()


def ports(ready: Any) -> dict[str, int]:
    return {key: ready[key] for key in ("attested_port", "untrusted_port")}


async def test_models_are_there_from_the_start(
    serve: Any, digits: Path, image: Any, label: int
) -> None:
    _, ready = await serve("--model", f"digits={digits}", "--no-uploads")
    async with connect("127.0.0.1", simulation=True, **ports(ready)) as connection:
        answer = await connection.predict("digits", image)
        assert int(np.argmax(answer.output[0].as_numpy())) == label
        with pytest.raises(RequestRejectedError):
            await connection.upload_model(digits)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_drains_and_ends_in_success(serve: Any, number: int) -> None:
    process, _ = await serve()
    process.send_signal(number)
    assert await asyncio.wait_for(process.wait(), 30) == 0
    assert b"Traceback" not in await process.stderr.read()


async def test_it_says_that_it_is_not_for_secrets(serve: Any) -> None:
    process, _ = await serve()
    process.terminate()
    _, err = await asyncio.wait_for(process.communicate(), 30)
    assert b"development" in err


async def test_a_saved_model_is_there_after_a_restart(
    serve: Any, cli: Any, digits: Path, image: Any, tmp_path: Path
) -> None:
    for _ in range(2):
        process, ready = await serve("--directory", tmp_path / "server")
        async with connect("127.0.0.1", simulation=True, **ports(ready)) as connection:
            if not (tmp_path / "uploaded").exists():
                await connection.upload_model(digits, model_id="kept", save_model=True)
                (tmp_path / "uploaded").touch()
            assert (await connection.predict("kept", image)).output
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 30) == 0


async def test_an_emulated_platform_gives_its_clients_what_they_need(
    serve: Any, cli: Any, digits: Path, tmp_path: Path
) -> None:
    files = tmp_path / "emulated"
    _, ready = await serve("--emulate-sgx", files)
    assert ready["client_files"] == str(files)
    where = (
        "--host=127.0.0.1",
        f"--attested-port={ready['attested_port']}",
        f"--untrusted-port={ready['untrusted_port']}",
        f"--certificate={files / 'host_server.pem'}",
        f"--policy={files / 'policy.toml'}",
    )
    ran = await cli("upload", digits, *where, f"--root={files / 'root.pem'}", "--sign", "--json")
    assert ran.code == 0, ran.err
    assert ran.json["signed"] is True
    ran = await cli("upload", digits, *where)
    assert (ran.code, ran.out) == (3, "")
    assert "do not rely on it" in ran.err


async def test_an_emulated_td_gives_its_clients_what_they_need(serve: Any, tmp_path: Path) -> None:
    files = tmp_path / "emulated"
    _, ready = await serve("--emulate-tdx", files)
    assert (ready["tee"], ready["client_files"]) == ("tdx", str(files))
    policy = tomllib.loads((files / "policy.toml").read_text())
    assert policy["tee"] == "tdx"
    assert (files / "host_server.pem").read_bytes().startswith(b"-----BEGIN CERTIFICATE-----")
    # What it serves is of the platform whose keys are kept there.
    platform = EmulatedPlatform.load(files / "platform")
    assert (platform.tee, platform.mr_td.hex()) == ("tdx", policy["mr_td"])
    assert (files / "root.pem").read_bytes() == platform.root_pem
    credentials = grpc.ssl_channel_credentials((files / "host_server.pem").read_bytes())
    address, name = f"127.0.0.1:{ready['untrusted_port']}", "blindai-srv"
    options = [("grpc.ssl_target_name_override", name)]
    async with grpc.aio.secure_channel(address, credentials, options) as channel:
        ask = channel.unary_unary("/untrusted.Attestation/GetSgxQuoteWithCollateral")
        reply = GetSgxQuoteWithCollateralReply.FromString(await ask(b""))
    assert platform.mr_td in reply.quote
    collateral = {name: getattr(reply.collateral, name) for name in platform.collateral()}
    evidence = Evidence(reply.quote, collateral, reply.enclave_held_data)
    assert judge(evidence, platform.root_pem, datetime.now(UTC)).status == "UpToDate"


async def test_a_platform_of_the_other_kind_is_not_replaced(
    serve: Any, cli: Any, tmp_path: Path
) -> None:
    await serve("--emulate-sgx", tmp_path)
    policy = (tmp_path / "policy.toml").read_text()
    ran = await cli("serve", *FREE_PORTS, "--emulate-tdx", tmp_path)
    assert (ran.code, ran.out) == (1, "")
    assert "keeps an emulated SGX platform; use --emulate-sgx" in ran.err
    assert (tmp_path / "policy.toml").read_text() == policy


async def test_a_server_emulates_one_platform(cli: Any, tmp_path: Path) -> None:
    ran = await cli("serve", "--emulate-sgx", tmp_path / "a", "--emulate-tdx", tmp_path / "b")
    assert ran.code == 2
    assert "one platform" in ran.err
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("tee", ["sgx", "tdx"])
async def test_the_platform_and_its_policy_survive_a_restart(
    serve: Any, tmp_path: Path, tee: str
) -> None:
    policies = []
    for _ in range(2):
        process, _ = await serve(f"--emulate-{tee}", tmp_path)
        process.terminate()
        await asyncio.wait_for(process.wait(), 30)
        policies.append((tmp_path / "policy.toml").read_text())
    assert policies[0] == policies[1]


async def test_a_client_with_the_readmes_own_files_outlives_a_restart(
    serve: Any, digits: Path, image: Any, tmp_path: Path
) -> None:
    """It is a new enclave that answers, on the same platform, with the host's same certificate."""
    files = tmp_path / "emulated"
    process, ready = await serve("--emulate-sgx", files)
    certificate = (files / "host_server.pem").read_bytes()
    async with connect(
        "127.0.0.1",
        policy=files / "policy.toml",
        certificate=files / "host_server.pem",
        trust_root=TrustRoot.from_pem((files / "root.pem").read_bytes()),
        **ports(ready),
    ) as connection:
        await connection.upload_model(digits, model_id="kept")
        before = await connection.predict("kept", image)
        signing_key = connection.enclave_signing_key
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 30) == 0
        again = (f"--{name.replace('_', '-')}={port}" for name, port in ports(ready).items())
        await serve("--emulate-sgx", files, *again)
        after = await connection.predict("kept", image, timeout=60)
        assert after.output == before.output
        assert connection.enclave_signing_key != signing_key
    assert (files / "host_server.pem").read_bytes() == certificate


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
async def test_nobody_else_may_read_what_it_keeps(serve: Any, tmp_path: Path) -> None:
    await serve("--emulate-sgx", tmp_path / "emulated", "--directory", tmp_path / "server")
    for directory in ("emulated", "server"):
        for path in (tmp_path / directory).rglob("*"):
            public = path.suffix in {".pem", ".toml"}
            assert path.stat().st_mode & 0o077 == (0o044 if public else 0), path


async def test_a_taken_port_is_one_line(cli: Any, server: BlindAIServer) -> None:
    ran = await cli("serve", f"--attested-port={server.attested_port}", "--untrusted-port=0")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.count("\n") == 1
    assert str(server.attested_port) in ran.err


async def test_a_model_that_does_not_load_is_one_line(cli: Any, tmp_path: Path) -> None:
    (tmp_path / "not.onnx").write_bytes(b"not a model")
    ran = await cli("serve", *FREE_PORTS, "--model", f"m={tmp_path / 'not.onnx'}")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.count("\n") == 1
    assert "not.onnx" in ran.err


async def test_a_model_without_an_id_is_usage(cli: Any) -> None:
    ran = await cli("serve", "--model", "digits.onnx")
    assert ran.code == 2
    assert "ID=PATH" in ran.err
