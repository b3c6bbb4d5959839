"""The rules for what wheel and sdist hold; `nox -s build` applies them to built ones."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from types import ModuleType


@pytest.fixture(scope="module")
def rules() -> ModuleType:
    path = Path(__file__).with_name("check_distributions.py")
    spec = importlib.util.spec_from_file_location("check_distributions", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def in_a_wheel(rules: ModuleType) -> list[str]:
    sources = rules.sources(rules.ROOT / "src" / "blindai_async")
    about = [f"blindai_async-0.1.0.dist-info/{name}" for name in ("METADATA", "WHEEL", "RECORD")]
    return [*(f"blindai_async/{name}" for name in sorted(sources)), *about]


def problems(rules: ModuleType, names: list[str]) -> list[str]:
    expected = {
        f"blindai_async/{name}" for name in rules.sources(rules.ROOT / "src" / "blindai_async")
    }
    found: list[str] = rules.problems(names, rules.IN_THE_WHEEL, expected)
    return found


def test_a_wheel_of_the_sources_and_what_is_said_about_them_is_right(
    rules: ModuleType, in_a_wheel: list[str]
) -> None:
    assert problems(rules, in_a_wheel) == []


@pytest.mark.parametrize(
    "stray",
    [
        "blindai_async/server/host_server.pem",
        "blindai_async/notes.txt",
        "blindai_async/__pycache__/errors.cpython-311.pyc",
        "tests/conftest.py",
        "digit.proof",
    ],
)
def test_a_stray_file_is_noticed(rules: ModuleType, in_a_wheel: list[str], stray: str) -> None:
    assert problems(rules, [*in_a_wheel, stray]) == [f"{stray} is stray"]


@pytest.mark.parametrize("name", ["blindai_async/py.typed", "blindai_async/cli/digits/digits.onnx"])
def test_a_missing_file_is_noticed(rules: ModuleType, in_a_wheel: list[str], name: str) -> None:
    names = [present for present in in_a_wheel if present != name]
    assert problems(rules, names) == [f"{name} is missing"]
