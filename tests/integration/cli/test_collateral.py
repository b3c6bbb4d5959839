"""`blindai-async collateral fetch` and `show`, as their user runs them."""

from __future__ import annotations

import json

import pytest
from machine import Machine
from stand_in_pccs import StandInPccs

from blindai_async import AttestationCache
from blindai_async.server.tee.emulated import EmulatedPlatform

FILES = {
    "pck_crl.pem",
    "pck_crl_issuer_chain.pem",
    "qe_identity.json",
    "qe_identity_issuer_chain.pem",
    "root_ca_crl.pem",
    "tcb_info.json",
    "tcb_info_issuer_chain.pem",
}


@pytest.fixture(scope="module")
def platform():
    return EmulatedPlatform(tcb_info_version=3)


@pytest.fixture
async def pccs(platform):
    async with StandInPccs(platform) as service:
        yield service


@pytest.fixture
def files(platform, pccs, tmp_path):
    """What the command is told: a quote, roots, a folder."""
    (tmp_path / "quote").write_bytes(platform.evidence(b"held data").quote)
    (tmp_path / "root.pem").write_bytes(platform.root_pem)
    (tmp_path / "ca.pem").write_bytes(pccs.ca_pem)
    return tmp_path


@pytest.fixture
def fetch(cli, pccs, files):
    async def run(*arguments, **changes):
        options = {
            "--quote": files / "quote",
            "--service": pccs.url,
            "--tls-ca": files / "ca.pem",
            "--root": files / "root.pem",
            "--output": files / "folder",
        } | {f"--{name.replace('_', '-')}": value for name, value in changes.items()}
        named = [f"{name}={value}" for name, value in options.items() if value is not None]
        return await cli("collateral", "fetch", *arguments, *named)

    return run


async def test_a_folder_of_collateral_connects_a_client_that_reaches_no_service(
    fetch, cli, files, platform, tmp_path
):
    ran = await fetch()
    assert (ran.code, ran.err.count("\n")) == (0, 2), ran.err  # the root, and what was written
    assert {file.name for file in (files / "folder").iterdir()} == FILES
    shown = await cli("collateral", "show", files / "folder")
    assert shown.out == ran.out
    assert "TCB info" in shown.out
    assert "Intel SGX TCB Signing" in shown.out
    machine = Machine(tmp_path, platform)
    await machine.start()
    try:
        options = {"collateral": files / "folder", "attestation_cache": AttestationCache()}
        async with machine.connection(**options) as connection:
            assert connection.claims.verified
    finally:
        await machine.stop()


async def test_a_servers_platform_is_asked_about(fetch, files, platform, tmp_path, pccs):
    machine = Machine(tmp_path, platform)
    await machine.start()
    try:
        ports = (f"--untrusted-port={machine.untrusted_port}", "127.0.0.1")
        ran = await fetch(*ports, quote=None)
    finally:
        await machine.stop()
    assert ran.code == 0, ran.err
    assert {file.name for file in (files / "folder").iterdir()} == FILES


async def test_every_command_takes_its_collateral_from_where_it_is_told(
    cli, files, platform, tmp_path
):
    machine = Machine(tmp_path, platform)
    await machine.start()
    (files / "policy.toml").write_text(platform.policy_toml)
    named = (
        f"--root={files / 'root.pem'}",
        f"--policy={files / 'policy.toml'}",
        f"--certificate={machine.host_certificate}",
        f"--attested-port={machine.attested_port}",
        f"--untrusted-port={machine.untrusted_port}",
        "--json",
    )
    try:
        async with StandInPccs(platform, tls=False) as service:
            ran = await cli("attest", "127.0.0.1", *named, f"--collateral={service.url}")
            assert (ran.code, ran.json["accepted"]) == (0, True), ran.err
            assert len(service.requests) == 4
        ran = await cli("attest", "127.0.0.1", *named, f"--collateral={tmp_path / 'nowhere'}")
        assert (ran.code, "nowhere" in ran.err) == (4, True)
        ran = await cli("attest", "127.0.0.1", *named, "--collateral=http://pccs.example")
        assert (ran.code, "plain http" in ran.err) == (2, True)
    finally:
        await machine.stop()


async def test_parts_are_shown_for_machines(fetch, cli, files, platform):
    await fetch()
    shown = await cli("collateral", "show", "--json", files / "folder")
    tcb_info, identity, pck_crl, root_crl = shown.json
    assert tcb_info == {
        "part": "TCB info",
        "issuer": "Intel SGX TCB Signing",
        "valid_from": platform.blueprint.tcb_info.issue_date.isoformat(),
        "valid_until": platform.blueprint.tcb_info.next_update.isoformat(),
        "evaluation_number": platform.blueprint.tcb_info.tcb_evaluation_data_number,
        "valid": True,
    }
    assert identity["part"] == "QE identity"
    assert pck_crl["issuer"] == "Intel SGX PCK Platform CA"
    assert root_crl["issuer"] == "Intel SGX Root CA"
    assert (await fetch("--json")).json == shown.json


@pytest.mark.parametrize(
    "changes",
    [
        {"quote": None},
        {"service": "http://pccs.example"},
        {"service": "nonsense"},
        {"update": "sometimes"},
        {"update": "early", "tcb_evaluation_data_number": 17},
    ],
)
async def test_a_wrong_command_line_is_told_as_such(fetch, changes, pccs):
    assert (await fetch(**changes)).code == 2
    assert pccs.requests == []


async def test_both_a_host_and_a_quote_are_too_much(fetch):
    assert (await fetch("127.0.0.1")).code == 2


async def test_collateral_that_no_client_would_accept_is_not_written(fetch, files):
    ran = await fetch(root=None)  # Intel's root, then
    assert ran.code == 3
    assert ran.err.count("\n") == 1
    assert not (files / "folder").exists()


async def test_a_service_that_is_not_reached_is_told(fetch):
    ran = await fetch(service="http://127.0.0.1:9")
    assert ran.code == 4
    assert "http://127.0.0.1:9" in ran.err
    assert ran.err.count("\n") == 1


async def test_a_server_that_is_not_reached_is_told(fetch):
    ran = await fetch("127.0.0.1", "--untrusted-port=9", quote=None)
    assert ran.code == 4
    assert ran.err.count("\n") == 1


async def test_a_platform_that_the_service_does_not_know_is_another_failure(fetch, pccs):
    pccs.fail("/tcb", StandInPccs.status(404))
    ran = await fetch()
    assert ran.code == 1
    assert "404" in ran.err


async def test_files_that_are_not_there_are_named(fetch, cli, tmp_path):
    ran = await fetch(quote=tmp_path / "none")
    assert (ran.code, "none" in ran.err) == (1, True)
    ran = await cli("collateral", "show", tmp_path / "nowhere")
    assert (ran.code, "nowhere" in ran.err, ran.out) == (1, True, "")


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff" * 20, b" " * 200_000])
async def test_a_spoilt_file_is_named(fetch, cli, files, content):
    await fetch()
    (files / "folder" / "tcb_info.json").write_bytes(content)
    ran = await cli("collateral", "show", files / "folder")
    assert ran.code == 1
    assert ran.err.count("\n") == 1


async def test_expired_parts_are_marked(cli, tmp_path):
    from datetime import UTC, datetime

    from blindai_async.attestation import SgxCollateral
    from blindai_async.collateral import write_bundle

    old = EmulatedPlatform(now=datetime(2022, 1, 1, tzinfo=UTC)).collateral()
    write_bundle(tmp_path, SgxCollateral.model_validate(dict(old)))
    shown = await cli("collateral", "show", tmp_path)
    assert shown.code == 0
    assert shown.out.count("NOT VALID NOW") == 4
    ran = await cli("collateral", "show", "--json", tmp_path)
    assert [part["valid"] for part in json.loads(ran.out)[:4]] == [False] * 4
