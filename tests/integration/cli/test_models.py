"""upload, predict and delete, against a real server over TLS."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from blindai_async import PredictResponse, UploadModelResponse

if TYPE_CHECKING:
    from pathlib import Path

    from blindai_async.server import BlindAIServer

MISSING_PROTECTION = 1
"""Lines on stderr of a success in simulation mode: what is not protected."""


def sha256_of(path: Path) -> bytes:
    return hashlib.sha256(path.read_bytes()).digest()


async def test_a_model_gets_the_id_that_is_asked_for(at_server: Any, digits: Path) -> None:
    ran = await at_server("upload", digits, "--model-id", "of-mine")
    assert (ran.code, ran.out) == (0, "of-mine\n"), ran.err


async def test_a_model_gets_an_id_from_the_server(at_server: Any, digits: Path) -> None:
    ran = await at_server("upload", digits, "--json")
    assert ran.code == 0, ran.err
    assert ran.json["model_id"]
    assert ran.json["signed"] is False


async def test_simulation_mode_is_called_unprotected(at_server: Any, digits: Path) -> None:
    ran = await at_server("upload", digits)
    assert ran.err.startswith("warning: ")
    assert ran.err.count("\n") == MISSING_PROTECTION


async def test_a_signed_upload_leaves_a_proof_of_the_model(
    at_server: Any, server: BlindAIServer, digits: Path, tmp_path: Path
) -> None:
    proof = tmp_path / "upload.proof"
    ran = await at_server("upload", digits, "--proof", proof)
    assert ran.code == 0, ran.err
    UploadModelResponse.from_file(proof).validate(
        sha256_of(digits),
        allow_simulation_mode=True,
        enclave_signing_key=server.enclave_signing_key,
    )


async def test_a_prediction_is_printed_as_json(
    at_server: Any, image: Any, label: int, tmp_path: Path
) -> None:
    np.save(tmp_path / "image.npy", image)
    ran = await at_server("predict", "digits", tmp_path / "image.npy")
    assert ran.code == 0, ran.err
    (output,) = ran.json["outputs"]
    assert output["shape"] == [1, 10]
    assert output["dtype"] == "float32"
    assert int(np.argmax(output["data"])) == label
    assert ran.json["signed"] is False


async def test_json_comes_in_on_stdin(at_server: Any, image: Any, label: int) -> None:
    ran = await at_server("predict", "digits", "-", stdin=json.dumps(image.tolist()).encode())
    assert ran.code == 0, ran.err
    assert int(np.argmax(ran.json["outputs"][0]["data"])) == label


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".json"])
async def test_outputs_go_to_a_file(
    suffix: str, at_server: Any, image: Any, label: int, tmp_path: Path
) -> None:
    np.savez(tmp_path / "image.npz", pixels=image)
    target = tmp_path / f"out{suffix}"
    ran = await at_server("predict", "digits", tmp_path / "image.npz", "--output", target)
    assert (ran.code, ran.out) == (0, ""), ran.err
    if suffix == ".json":
        probabilities = json.loads(target.read_text())["outputs"][0]["data"]
    elif suffix == ".npy":
        probabilities = np.load(target)
    else:
        with np.load(target) as content:
            (probabilities,) = (content[name] for name in content.files)
    assert int(np.argmax(probabilities)) == label


async def test_a_signed_prediction_leaves_a_proof(
    at_server: Any, server: BlindAIServer, image: Any, tmp_path: Path
) -> None:
    np.save(tmp_path / "image.npy", image)
    proof = tmp_path / "digit.proof"
    ran = await at_server("predict", "digits", tmp_path / "image.npy", "--proof", proof)
    assert ran.code == 0, ran.err
    assert ran.json["signed"] is True
    PredictResponse.from_file(proof).validate(
        "digits",
        image,
        allow_simulation_mode=True,
        enclave_signing_key=server.enclave_signing_key,
    )


async def test_several_inputs_keep_their_order(
    at_server: Any, onnx_models: Any, tmp_path: Path
) -> None:
    (tmp_path / "model.onnx").write_bytes(onnx_models.subtract_and_swap())
    np.save(tmp_path / "a.npy", np.full((1, 4), 5, np.float32))
    np.save(tmp_path / "b.npy", np.full((1, 4), 3, np.float32))
    await at_server("upload", tmp_path / "model.onnx", "--model-id", "m")
    ran = await at_server("predict", "m", tmp_path / "a.npy", tmp_path / "b.npy")
    assert ran.code == 0, ran.err
    assert [output["data"][0][0] for output in ran.json["outputs"]] == [2, 3]


async def test_a_deleted_model_is_gone(at_server: Any, image: Any, tmp_path: Path) -> None:
    np.save(tmp_path / "image.npy", image)
    ran = await at_server("delete", "digits")
    assert (ran.code, ran.out) == (0, "deleted digits\n")
    ran = await at_server("predict", "digits", tmp_path / "image.npy")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.count("\n") == 1
    assert "Model doesn't exist" in ran.err


class TestAFailureIsOneLine:
    """On stderr, with its exit code and nothing on stdout."""

    async def test_where_nobody_listens(self, cli: Any, unused_tcp_port: int) -> None:
        port = f"--untrusted-port={unused_tcp_port}"
        ran = await cli("delete", "m", "--host=127.0.0.1", port, "--simulation", "--timeout=10")
        assert (ran.code, ran.out) == (4, "")
        assert ran.err.count("\n") == 1
        assert "check that the server runs" in ran.err

    async def test_where_the_server_has_no_evidence(self, cli: Any, server: BlindAIServer) -> None:
        ports = (
            f"--attested-port={server.attested_port}",
            f"--untrusted-port={server.untrusted_port}",
        )
        ran = await cli("delete", "m", "--host=127.0.0.1", *ports)
        assert (ran.code, ran.out) == (3, "")
        assert ran.err.count("\n") == 1
        assert "--simulation" in ran.err

    @pytest.mark.parametrize(
        "arguments",
        [
            ("upload", "none.onnx"),
            ("predict", "m", "none.npy"),
            ("predict", "m", "none.json"),
        ],
    )
    async def test_where_a_file_is_missing(self, arguments: Any, at_server: Any) -> None:
        ran = await at_server(*arguments)
        assert (ran.code, ran.out) == (1, "")
        assert ran.err.count("\n") == 1
        assert arguments[-1] in ran.err

    async def test_where_the_model_is_none(self, at_server: Any, tmp_path: Path) -> None:
        (tmp_path / "not.onnx").write_bytes(b"not a model")
        ran = await at_server("upload", tmp_path / "not.onnx")
        assert (ran.code, ran.out) == (1, "")
        assert ran.err.count("\n") == 1

    async def test_where_the_api_key_is_wrong_it_is_not_shown(
        self, cli: Any, unused_tcp_port: int
    ) -> None:
        ran = await cli(
            "delete",
            "m",
            "--cloud",
            "--timeout=5",
            BLINDAI_API_KEY="sesame",
            MITHRIL_SERVICES_URL=f"127.0.0.1:{unused_tcp_port}",
        )
        assert (ran.code, ran.out) == (4, "")
        assert ran.err.count("\n") == 1
        assert "sesame" not in ran.err
