"""The names that the package promises."""

from __future__ import annotations

import tomllib
from importlib import import_module, resources
from pathlib import Path

import pytest

import blindai_async

ROOT = Path(__file__).parents[2]

PUBLIC = {
    "AsyncConnection",
    "AttestationCache",
    "Batching",
    "ConnectionStats",
    "DeleteModelResponse",
    "ModelDatumType",
    "ModelSpec",
    "Outage",
    "Policy",
    "PredictResponse",
    "RetryPolicy",
    "SessionState",
    "SignedResponse",
    "Tensor",
    "TensorInfo",
    "TensorSpec",
    "Timeouts",
    "TrustRoot",
    "UploadModelResponse",
    "connect",
    "errors",
}
"""What users import from the top level: a name that goes breaks them, one more is a choice."""

TENSOR_HELPERS = {"dtype_to_numpy", "dtype_to_torch", "translate_dtype", "translate_tensors"}

CORE_DEPENDENCIES = {"anyio", "cryptography", "grpcio", "numpy", "protobuf", "pydantic"}


def test_the_top_level_exports_what_is_promised() -> None:
    assert set(blindai_async.__all__) - {"__version__"} == PUBLIC


@pytest.mark.parametrize(
    "module",
    [
        "blindai_async",
        "blindai_async.attestation",
        "blindai_async.errors",
        "blindai_async.options",
        "blindai_async.proofs",
        "blindai_async.proofs.responses",
        "blindai_async.proofs.signed_response",
        "blindai_async.server",
        "blindai_async.server.tee.emulated",
        "blindai_async.specs",
        "blindai_async.tensors",
    ],
)
def test_every_exported_name_exists_and_is_listed_once(module: str) -> None:
    imported = import_module(module)
    assert len(set(imported.__all__)) == len(imported.__all__)
    for name in imported.__all__:
        assert getattr(imported, name) is not None


def test_the_tensor_helpers_of_the_reference_are_public() -> None:
    assert set(blindai_async.tensors.__all__) >= TENSOR_HELPERS


def test_type_information_ships_with_the_package() -> None:
    assert (resources.files("blindai_async") / "py.typed").is_file()


def test_the_core_has_no_dependency_that_the_project_did_not_choose() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {dependency.split(">")[0].split("<")[0] for dependency in project["dependencies"]}
    assert names == CORE_DEPENDENCIES
