"""What importing the package brings into a process, and what not."""

from __future__ import annotations

import subprocess
import sys

import pytest


def modules_after(statement: str) -> set[str]:
    """The names of the modules that a fresh interpreter has after a statement."""
    program = f"import sys\n{statement}\nprint(*sys.modules)"
    command = [sys.executable, "-W", "error", "-c", program]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr
    return set(ran.stdout.split())


@pytest.fixture(scope="module")
def after_import() -> set[str]:
    return modules_after("from blindai_async import connect")


@pytest.mark.parametrize(
    "module",
    [
        "torch",
        "onnx",
        "onnxruntime",
        "typer",
        "rich",
        "grpc._server",
        "grpc_health",
        "blindai_async.server",
        "blindai_async.cli",
        "httpx2",
        "blindai_async.collateral.pcs_client",
        "blindai_async.attestation.x509.certificates",
    ],
)
def test_the_client_does_not_import(module: str, after_import: set[str]) -> None:
    assert module not in after_import


def test_the_client_needs_grpc_for_itself(after_import: set[str]) -> None:
    """Guards the guard: the names looked for above are spelled as they appear."""
    assert {"grpc", "numpy", "pydantic", "blindai_async._client.connection"} <= after_import


def test_the_emulated_platform_imports_without_onnx_runtime() -> None:
    assert "onnxruntime" not in modules_after("import blindai_async.server.tee.emulated")


def test_a_proof_can_be_judged_without_grpc() -> None:
    judging = "import blindai_async; blindai_async.PredictResponse; blindai_async.Policy"
    loaded = modules_after(judging)
    assert "blindai_async.proofs.signed_response" in loaded
    assert not {"grpc", "blindai_async._client.connection"} & loaded
