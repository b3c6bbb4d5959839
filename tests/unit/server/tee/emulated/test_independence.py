"""The platform shares no code with the verifier: a bug in both would show in neither."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from blindai_async.server.tee import emulated as platform

PACKAGE = "blindai_async.server.tee.emulated"
FILES = sorted(Path(platform.__file__).parent.glob("*.py"))


def imported_modules(path: Path) -> set[str]:
    modules = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            modules.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            modules.add(node.module)
    return modules


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_it_imports_nothing_of_the_package_but_itself(path):
    ours = {name for name in imported_modules(path) if name.startswith("blindai_async")}
    assert all(name == PACKAGE or name.startswith(f"{PACKAGE}.") for name in ours)
