"""The first thing that a stranger sees."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Any

import pytest

from blindai_async import PredictResponse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.mark.parametrize("mode", [[], ["--simulation"]], ids=["hardware", "simulation"])
async def test_the_demo_shows_the_main_job(mode: list[str], cli: Any, tmp_path: Path) -> None:
    proof = tmp_path / "digit.proof"
    ran = await cli("demo", "--json", "--proof", proof, *mode)
    assert ran.code == 0, ran.err
    figures = ran.json
    assert figures["predictions"] == 360
    assert figures["accuracy"] >= 0.95
    assert figures["batched_predictions_per_second"] > figures["predictions_per_second"] > 0
    latency = figures["latency_ms"]
    assert 0 < latency["p50"] <= latency["p95"] <= latency["p99"]
    assert figures["proof_validated"] is True
    assert figures["model_deleted"] is True
    assert figures["tee"] == (None if mode else "sgx")
    assert figures["mode"] == ("simulation" if mode else "hardware (emulated)")
    assert figures["proof_file"] == str(proof)
    kept = PredictResponse.from_file(proof)
    assert kept.is_simulation_mode() is bool(mode)


async def test_the_demo_shows_a_td(cli: Any, tmp_path: Path) -> None:
    proof = tmp_path / "digit.proof"
    ran = await cli("demo", "--tee", "tdx", "--json", "--proof", proof)
    assert ran.code == 0, ran.err
    assert (ran.json["tee"], ran.json["mode"]) == ("tdx", "hardware (emulated)")
    assert len(bytes.fromhex(ran.json["mr_td"])) == 48
    assert "mr_enclave" not in ran.json
    assert ran.json["proof_validated"] is True
    assert not PredictResponse.from_file(proof).is_simulation_mode()
    ran = await cli("demo", "--tee", "tdx")
    assert "EMULATED TDX" in ran.out


@pytest.mark.parametrize("tee", ["sgx", "tdx"])
async def test_simulation_emulates_nothing(cli: Any, tee: str) -> None:
    ran = await cli("demo", "--simulation", "--tee", tee)
    assert ran.code == 2
    assert "--tee" in ran.err


async def test_in_a_pipe_it_speaks_in_plain_lines(cli: Any) -> None:
    ran = await cli("demo")
    assert ran.code == 0, ran.err
    assert "\x1b" not in ran.out + ran.err
    assert "\r" not in ran.out + ran.err
    assert ran.err == ""
    steps = [line.split()[0] for line in ran.out.splitlines() if not line.startswith(" ")]
    for step in (
        "mode",
        "uploaded",
        "accuracy",
        "speed",
        "latency",
        "batching",
        "signed",
        "proof",
        "deleted",
    ):
        assert step in steps
    assert "EMULATED" in ran.out


async def test_a_reader_that_leaves_is_no_traceback(start_cli: Any) -> None:
    demo = await start_cli("demo")
    assert await demo.stdout.readline()
    demo._transport.get_pipe_transport(1).close()
    err = await asyncio.wait_for(demo.stderr.read(), 60)
    assert await demo.wait() == 1
    assert err == b""


@pytest.fixture
def _interruptible() -> Iterator[None]:
    """What a job in the background starts would ignore SIGINT, as the job does."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_interruptible")
async def test_ctrl_c_is_no_traceback(start_cli: Any) -> None:
    demo = await start_cli("demo")
    assert await demo.stdout.readline()
    demo.send_signal(signal.SIGINT)
    _, err = await asyncio.wait_for(demo.communicate(), 60)
    assert demo.returncode == 130
    assert err == b""


async def test_a_proof_that_cannot_be_kept_is_one_line(cli: Any, tmp_path: Path) -> None:
    ran = await cli("demo", "--json", "--proof", tmp_path / "none" / "digit.proof")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.count("\n") == 1
    assert "digit.proof" in ran.err
