"""attest, policy from-server and verify: what a server proves, and what a file proves later."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest

from blindai_async.attestation import Policy, SgxEvidence
from blindai_async.server.tee.emulated import EmulatedPlatform

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from blindai_async.server import BlindAIServer

FIXTURES = Path(__file__).parents[4] / "shared" / "fixtures"


def outcomes(ran: Any) -> dict[str, str]:
    """The outcome of each check, by its name."""
    return {check["name"]: check["outcome"] for check in ran.json["checks"]}


class Emulated(NamedTuple):
    """A server on an emulated platform, and what its clients need."""

    platform: EmulatedPlatform
    ports: tuple[str, str]
    root: str
    policy: str
    certificate: str


@pytest.fixture
async def emulated(
    start_server: Callable[..., Awaitable[BlindAIServer]], digits: Path, tmp_path: Path
) -> Emulated:
    platform = EmulatedPlatform()
    server = await start_server(hardware=platform, models={"digits": digits})
    files = {
        "root": platform.root_pem,
        "policy": platform.policy_toml.encode(),
        "certificate": server.host_certificate_pem,
    }
    options = {}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        options[name] = f"--{name}={tmp_path / name}"
    ports = (f"--attested-port={server.attested_port}", f"--untrusted-port={server.untrusted_port}")
    return Emulated(platform, ports, **options)


async def test_an_enclave_is_attested(cli: Any, emulated: Emulated, tmp_path: Path) -> None:
    page, evidence = tmp_path / "report.html", tmp_path / "evidence.json"
    ran = await cli(
        "attest",
        "127.0.0.1",
        *emulated.ports,
        emulated.root,
        emulated.policy,
        emulated.certificate,
        f"--html={page}",
        f"--save-evidence={evidence}",
    )
    assert ran.code == 0, ran.err
    assert "verdict      accepted" in ran.out
    assert emulated.platform.mr_enclave.hex() in ran.out
    assert emulated.platform.mr_enclave.hex() in page.read_text()
    saved = SgxEvidence.model_validate_json(evidence.read_text())
    assert saved.collateral is not None
    assert emulated.platform.mr_enclave in saved.quote
    assert len(saved.nonce) == 32  # what was asked with, so that freshness can be judged again


async def test_a_refusal_is_reported_in_full(cli: Any, emulated: Emulated, tmp_path: Path) -> None:
    evidence = tmp_path / "evidence.json"
    where = ("127.0.0.1", *emulated.ports, emulated.certificate)
    ran = await cli("attest", *where, emulated.root, "--json", "--save-evidence", evidence)
    assert ran.code == 3
    assert ran.err.count("\n") == 1
    assert ran.json["error"]["class"] == "IdentityError"
    assert ran.json["proven"] is True
    (policy,) = ran.json["checks"]
    assert (policy["name"], policy["outcome"]) == ("policy", "failed")
    assert evidence.exists()

    ran = await cli("attest", *where, emulated.policy, "--json")
    assert ran.code == 3
    assert ran.json["error"]["class"] == "NotAnEnclaveError"
    assert ran.json["proven"] is False
    assert "--root" in ran.err


async def test_a_simulation_server_has_nothing_to_attest(cli: Any, server: BlindAIServer) -> None:
    ran = await cli(
        "attest",
        "127.0.0.1",
        f"--attested-port={server.attested_port}",
        f"--untrusted-port={server.untrusted_port}",
    )
    assert (ran.code, ran.out) == (3, "")
    assert ran.err.count("\n") == 1
    assert "--simulation" not in ran.err  # which attest does not have


async def test_a_policy_is_taken_from_a_server(
    cli: Any, emulated: Emulated, tmp_path: Path
) -> None:
    where = ("127.0.0.1", *emulated.ports, emulated.certificate, emulated.root)
    target = tmp_path / "first.toml"
    printed, written = await asyncio.gather(
        cli("policy", "from-server", *where),
        cli("policy", "from-server", *where, f"--output={target}"),
    )
    assert printed.code == written.code == 0, printed.err + written.err
    assert Policy.from_str(printed.out).mr_enclave == emulated.platform.mr_enclave
    assert "trust on first use" in printed.err
    ran = await cli("attest", *where, f"--policy={target}")
    assert ran.code == 0, ran.err


async def test_no_policy_is_made_of_evidence_that_does_not_hold(
    cli: Any, emulated: Emulated
) -> None:
    ran = await cli("policy", "from-server", "127.0.0.1", *emulated.ports, emulated.certificate)
    assert (ran.code, ran.out) == (3, "")
    assert ran.err.count("\n") == 1


class TestAKeptProof:
    """Judged offline by `verify`."""

    @pytest.fixture
    async def kept(
        self, cli: Any, emulated: Emulated, digits: Path, image: Any, tmp_path: Path
    ) -> dict[str, Path]:
        where = (*emulated.ports, "--host=127.0.0.1", emulated.certificate)
        trust = (emulated.root, emulated.policy)
        files = {name: tmp_path / name for name in ("upload.proof", "digit.proof")}
        np.save(tmp_path / "image.npy", image)
        np.save(tmp_path / "other.npy", image + 1)
        asked = {
            "upload.proof": ("upload", digits),
            "digit.proof": ("predict", "digits", tmp_path / "image.npy"),
        }
        for ran in await asyncio.gather(
            *(cli(*asked[name], *where, *trust, "--proof", files[name]) for name in files)
        ):
            assert ran.code == 0, ran.err
        return files

    async def test_holds_for_its_own_question_only(
        self, kept: dict[str, Path], cli: Any, emulated: Emulated, tmp_path: Path
    ) -> None:
        trust = (emulated.root, emulated.policy)
        proof = kept["digit.proof"]
        own, other = (f"--input={tmp_path / name}" for name in ("image.npy", "other.npy"))
        right = [(own, *trust), (own, *trust, "--model-id=digits")]
        wrong = [
            (other, *trust),
            (own, *trust, "--model-id=e"),
            (own, emulated.root),
            (own, emulated.policy),
            (own, *trust, "--at=2020-01-01"),
            (own, *trust, f"--signing-key={'00' * 32}"),
        ]
        judged = await asyncio.gather(
            *(cli("verify", proof, *question) for question in right + wrong)
        )
        assert [ran.code for ran in judged] == [0] * len(right) + [3] * len(wrong)
        for ran in judged[len(right) :]:
            assert "REFUSED" in ran.out
            assert ran.err.count("\n") == 1

    async def test_is_shown_with_its_answer_and_every_check(
        self, kept: dict[str, Path], cli: Any, emulated: Emulated, tmp_path: Path, label: int
    ) -> None:
        trust = (emulated.root, emulated.policy)
        proof, page = kept["digit.proof"], tmp_path / "report.html"
        own, other = (f"--input={tmp_path / name}" for name in ("image.npy", "other.npy"))
        held, spoken, refused, identity = await asyncio.gather(
            cli("verify", proof, own, *trust, "--json", f"--html={page}"),
            cli("verify", proof, own, *trust),
            cli("verify", proof, other, *trust, "--json"),
            cli("verify", proof, own, emulated.root, "--json"),
        )
        assert set(outcomes(held).values()) == {"passed"}
        answer = held.json["answer"]
        assert answer["model_id"] == "digits"
        assert answer["inference_time"] >= 1
        (output,) = answer["outputs"]
        assert (output["name"], output["shape"]) == ("probabilities", [1, 10])
        assert int(np.argmax(output["data"])) == label
        shown = f"{output['data'][0][0]:.6g}"
        for text in (page.read_text(), spoken.out):
            assert shown in text
            for word in ("digits", "probabilities", "inference", "signature", "inputs", "policy"):
                assert word in text
        assert outcomes(refused) == outcomes(held) | {"inputs": "failed", "outputs": "not reached"}
        assert outcomes(identity) == {
            "evidence": "passed",
            "policy": "failed",
            "freshness": "passed",
            "signature": "not reached",
            "model id": "not reached",
            "inputs": "not reached",
            "outputs": "not reached",
        }

    async def test_of_an_upload_holds_for_its_own_model_only(
        self, kept: dict[str, Path], cli: Any, emulated: Emulated, digits: Path, tmp_path: Path
    ) -> None:
        trust = (emulated.root, emulated.policy)
        (tmp_path / "other.onnx").write_bytes(b"another model")
        proof = kept["upload.proof"]
        judged = await asyncio.gather(
            *(
                cli("verify", proof, f"--model={model}", *trust)
                for model in (digits, tmp_path / "other.onnx")
            )
        )
        assert [ran.code for ran in judged] == [0, 3]

    async def test_needs_the_question(self, kept: dict[str, Path], cli: Any) -> None:
        options = {"digit.proof": "--input", "upload.proof": "--model"}
        judged = await asyncio.gather(*(cli("verify", kept[name]) for name in options))
        for ran, option in zip(judged, options.values(), strict=True):
            assert ran.code == 2
            assert option in ran.err


async def test_a_simulation_proof_is_accepted_only_where_it_is_asked_for(
    at_server: Any, cli: Any, image: Any, tmp_path: Path
) -> None:
    np.save(tmp_path / "image.npy", image)
    proof, question = tmp_path / "digit.proof", f"--input={tmp_path / 'image.npy'}"
    await at_server("predict", "digits", tmp_path / "image.npy", "--proof", proof)
    refused, accepted = await asyncio.gather(
        cli("verify", proof, question), cli("verify", proof, question, "--simulation", "--json")
    )
    assert refused.code == 3
    assert "--simulation accepts that" in refused.err
    assert accepted.code == 0, accepted.err
    assert accepted.json["proven"] is False


@pytest.mark.skipif(not FIXTURES.is_dir(), reason="the real proof is not beside the repository")
class TestTheProofOfARealMachine:
    """Judged at the time that the caller names."""

    PROOF = (
        FIXTURES / "sgx_hw_predict.proof",
        f"--policy={FIXTURES / 'sgx_hw_policy.toml'}",
        f"--input={FIXTURES / 'sgx_hw_input.npz'}",
    )

    async def test_is_accepted_within_its_time(self, cli: Any) -> None:
        ran = await cli("verify", *self.PROOF, "--at=2022-08-24", "--json")
        assert ran.code == 0, ran.err
        assert ran.json["claims"]["tcb_status"] == "UpToDate"
        assert set(outcomes(ran).values()) == {"passed"}
        (output,) = ran.json["answer"]["outputs"]
        assert output["shape"] == [1, 2]

    @pytest.mark.parametrize("at", [["--at=2022-04-15"], ["--at=2022-09-23"], []])
    async def test_is_refused_outside_it(self, at: list[str], cli: Any) -> None:
        ran = await cli("verify", *self.PROOF, *at, "--json")
        assert ran.code == 3
        assert ran.json["accepted"] is False
        assert outcomes(ran)["freshness"] == "failed"


async def test_a_trust_domain_is_attested_and_its_policy_taken(
    cli: Any,
    start_server: Callable[..., Awaitable[BlindAIServer]],
    digits: Path,
    tmp_path: Path,
) -> None:
    platform = EmulatedPlatform("tdx", quote_version=5)
    server = await start_server(hardware=platform, models={"digits": digits})
    (tmp_path / "root").write_bytes(platform.root_pem)
    (tmp_path / "certificate").write_bytes(server.host_certificate_pem)
    policy = tmp_path / "policy.toml"
    where = (
        "127.0.0.1",
        f"--attested-port={server.attested_port}",
        f"--untrusted-port={server.untrusted_port}",
        f"--root={tmp_path / 'root'}",
        f"--certificate={tmp_path / 'certificate'}",
    )
    written = await cli("policy", "from-server", *where, f"--output={policy}")
    assert written.code == 0, written.err
    assert "compare mr_td and the rtmrs" in written.err
    assert "tdx" in policy.read_text()
    ran = await cli("attest", *where, f"--policy={policy}", "--json")
    assert ran.code == 0, ran.err
    assert ran.json["claims"]["mr_td"] == platform.blueprint.td.mr_td.hex()
    assert ran.json["collateral"] == "the server"
    assert ran.json["claims"]["fresh"] is True
    assert "ppid" not in ran.json["claims"]
    shown = await cli("attest", *where, f"--policy={policy}", "--json", "--show-platform")
    assert len(shown.json["claims"]["ppid"]) == 32
