"""The public API is the one on file: a change of it is a choice, and is seen in review."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from blindai_async import Timeouts

if TYPE_CHECKING:
    from types import ModuleType


@pytest.fixture(scope="module")
def describe_api() -> ModuleType:
    path = Path(__file__).with_name("describe_api.py")
    spec = importlib.util.spec_from_file_location("describe_api", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_public_api_is_the_one_on_file(describe_api: ModuleType) -> None:
    assert describe_api.difference(describe_api.describe()) == "", "nox -s api -- --write renews it"


def test_another_default_is_noticed(
    describe_api: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Timeouts.model_fields["call"], "default", 61.0)
    assert "+    call: PositiveFloat = 61.0" in describe_api.difference(describe_api.describe())


def test_a_name_that_is_gone_is_noticed(
    describe_api: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(Timeouts, "upload", raising=False)
    monkeypatch.delitem(Timeouts.model_fields, "upload")
    assert "-    upload: PositiveFloat = 600.0" in describe_api.difference(describe_api.describe())
