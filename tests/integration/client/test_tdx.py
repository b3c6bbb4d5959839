"""The whole client over a server that runs in an emulated TD."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from machine import Machine, trusting

from blindai_async import PredictResponse
from blindai_async.attestation import Policy
from blindai_async.errors import (
    AttestationError,
    DebugNotAllowedError,
    IdentityError,
    SignatureError,
    TcbStatusError,
)
from blindai_async.server.tee.emulated import SEPT_VE_DISABLE, TD_DEBUG, EmulatedPlatform
from blindai_async.server.tee.emulated.pccs import EmulatedPccs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

ROW = np.arange(8, dtype=np.float32).reshape(1, 8)
FORMS = {
    "v4-1.0": {"quote_version": 4},
    "v5-1.0": {"quote_version": 5, "td_report": "1.0"},
    "v5-1.5": {"quote_version": 5},
}
# Module and processor as they were before the update that the rest of the report knows of.
LAUNCHED_BEFORE = bytes((3, 1, 7)) + bytes(13)


@pytest.fixture
async def start(tmp_path: Path, onnx_models: Any) -> AsyncIterator[Callable[..., Awaitable[Any]]]:
    """Starts machines on a platform, which echo rows of eight float32 as the model "echo"."""
    machines: list[Machine] = []
    model = tmp_path / "echo.onnx"
    model.write_bytes(onnx_models.identity("float32", ("batch", 8)))

    async def start_machine(platform: EmulatedPlatform) -> Machine:
        directory = tmp_path / f"machine-{len(machines)}"
        directory.mkdir()
        machines.append(Machine(directory, platform, models={"echo": model}))
        await machines[-1].start()
        return machines[-1]

    yield start_machine
    for machine in machines:
        await machine.stop()


@pytest.mark.parametrize("form", FORMS)
async def test_a_td_is_attested_and_answers(start: Any, form: str) -> None:
    platform = EmulatedPlatform("tdx", **FORMS[form])
    machine = await start(platform)
    async with machine.connection() as connection:
        claims, td = connection.claims, platform.blueprint.td
        assert claims.tee == "tdx"
        assert (claims.mr_td, claims.rtmrs) == (td.mr_td, td.rtmrs)
        assert (claims.tee_tcb_svn2, claims.mr_service_td) == (td.tee_tcb_svn2, td.mr_service_td)
        assert str(claims.tcb_status) == "UpToDate"
        assert claims.debug is False
        answer = await connection.predict("echo", ROW)
        np.testing.assert_array_equal(answer.output[0].as_numpy(), ROW)


async def test_its_evidence_is_fresh(start: Any) -> None:
    machine = await start(EmulatedPlatform("tdx"))
    async with machine.connection(require_fresh=True) as connection:
        assert connection.claims.fresh is True


async def test_models_go_in_and_a_proof_comes_out(
    start: Any, tmp_path: Path, onnx_models: Any
) -> None:
    platform = EmulatedPlatform("tdx", quote_version=5)
    machine = await start(platform)
    demands = {"policy": Policy.from_str(platform.policy_toml), "trust_root": trusting(platform)}
    model, proof = tmp_path / "mine.onnx", tmp_path / "answer.proof"
    model.write_bytes(onnx_models.identity("float32", ("batch", 8)))
    async with machine.connection() as connection:
        uploaded = await connection.upload_model(model, model_id="mine", sign=True)
        signed = await connection.predict(uploaded.model_id, ROW, sign=True)
        signed.save_to_file(proof)
        await connection.delete_model("mine")
    kept = PredictResponse.from_file(proof)
    kept.validate("mine", ROW, **demands)
    with pytest.raises(SignatureError):
        kept.validate("mine", ROW + 1, **demands)
    other = Policy.from_str(EmulatedPlatform("tdx").policy_toml)
    with pytest.raises(IdentityError):
        kept.validate("mine", ROW, **(demands | {"policy": other}))


async def test_a_restart_is_attested_anew(start: Any) -> None:
    machine = await start(EmulatedPlatform("tdx"))
    async with machine.connection() as connection:
        await connection.predict("echo", ROW)
        before = machine.quoting.quotes
        await machine.restart()
        answer = await connection.predict("echo", ROW)
        np.testing.assert_array_equal(answer.output[0].as_numpy(), ROW)
        assert machine.quoting.quotes > before


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"td.td_attributes": SEPT_VE_DISABLE | TD_DEBUG}, DebugNotAllowedError),
        ({"td.td_attributes": 0}, AttestationError),
        ({"td.mr_service_td": b"s" * 48}, AttestationError),
        ({"td.mr_td": b"m" * 48}, IdentityError),
        ({"td.rtmr2": b"r" * 48}, IdentityError),
        ({"td.tee_tcb_svn": LAUNCHED_BEFORE}, TcbStatusError),
        ({"tcb_info.levels.0.status": "OutOfDate"}, TcbStatusError),
        ({"tcb_info.id": "SGX"}, AttestationError),
        ({"qe_identity.id": "QE"}, AttestationError),
    ],
    ids=str,
)
async def test_what_the_policy_does_not_take_is_refused(
    start: Any, changes: dict[str, Any], error: type[Exception]
) -> None:
    platform = EmulatedPlatform("tdx", quote_version=5)
    machine = await start(platform.with_changes(changes))
    connection = machine.connection(policy=Policy.from_str(platform.policy_toml))
    with pytest.raises(error):
        await connection.__aenter__()


async def test_an_enclave_does_not_pass_for_a_td_nor_the_other_way_round(start: Any) -> None:
    tdx, sgx = EmulatedPlatform("tdx"), EmulatedPlatform(tcb_info_version=3)
    for here, there in ((tdx, sgx), (sgx, tdx)):
        machine = await start(here)
        connection = machine.connection(policy=Policy.from_str(there.policy_toml))
        with pytest.raises(AttestationError):
            await connection.__aenter__()


async def test_a_server_without_collateral_is_attested_by_a_pccs(start: Any) -> None:
    platform = EmulatedPlatform("tdx", quote_version=5)
    machine = await start(platform)
    machine.quoting.with_collateral = False
    async with EmulatedPccs(platform, tls=False) as pccs:
        async with machine.connection(collateral=pccs.url) as connection:
            assert (await connection.predict("echo", ROW)).output
        assert any("/tdx/certification/v4/tcb" in target for target in pccs.requests)


@pytest.mark.parametrize("tee", ["sgx", "tdx"])
async def test_stale_collateral_of_the_server_does_not_matter_with_a_pccs(
    start: Any, tee: str
) -> None:
    platform = EmulatedPlatform(tee)
    stale = platform.with_changes({"tcb_info.next_update": platform.blueprint.tcb_info.issue_date})
    machine = await start(stale)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        refused = machine.connection()
    with pytest.raises(AttestationError):
        await refused.__aenter__()
    async with (
        EmulatedPccs(platform, tls=False) as pccs,
        machine.connection(collateral=pccs.url) as connection,
    ):
        assert (await connection.predict("echo", ROW)).output
