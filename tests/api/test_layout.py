"""The floor plan: few entries, short files, imports without circles, names where they belong."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import blindai_async

PACKAGE = Path(blindai_async.__file__).parent
GENERATED = PACKAGE / "_pb"
FILES = sorted(path for path in PACKAGE.rglob("*.py") if GENERATED not in path.parents)
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in FILES}

MOST_SINGLE_MODULES = 12
MOST_LINES = 400
MOST_LINES_OF_A_FUNCTION = 60


def module_name(path: Path) -> str:
    parts = (PACKAGE.name, *path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in FILES}


def is_private(module: str) -> bool:
    return any(part.startswith("_") for part in module.split(".")[1:])


def exported_names(tree: ast.Module) -> list[str] | None:
    """What `__all__` says, or None where there is none."""
    for statement in tree.body:
        if (
            isinstance(statement, ast.Assign)
            and isinstance(statement.targets[0], ast.Name)
            and statement.targets[0].id == "__all__"
        ):
            names: list[str] = ast.literal_eval(statement.value)
            return names
    return None


def test_most_of_the_package_is_in_folders() -> None:
    single = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__", "_version"}
    assert len(single) <= MOST_SINGLE_MODULES, sorted(single)


def test_no_file_is_long() -> None:
    lengths = {module_name(path): len(path.read_text().splitlines()) for path in FILES}
    assert {name: length for name, length in lengths.items() if length > MOST_LINES} == {}


def test_functions_fit_on_a_screen() -> None:
    """The docstring is not counted: it is read where the name is, not where the code is."""
    long = {}
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                documented = ast.get_docstring(node) is not None
                first = node.body[1] if documented and len(node.body) > 1 else node.body[0]
                lines = (node.end_lineno or 0) - first.lineno + 1
                if lines > MOST_LINES_OF_A_FUNCTION:
                    long[f"{module_name(path)}.{node.name}"] = lines
    assert long == {}


def imports_of(path: Path) -> set[str]:
    """The modules of the package that a file imports anywhere, also for type checkers only."""
    found = set()
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                found.add(submodule if submodule in MODULES else node.module)
    return (found & MODULES.keys()) - {module_name(path)}


def test_imports_go_in_no_circle() -> None:
    graph = {name: imports_of(path) for name, path in MODULES.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))


def test_a_circle_would_be_noticed() -> None:
    with pytest.raises(CycleError):
        TopologicalSorter({"a": {"b"}, "b": {"c"}, "c": {"a"}}).prepare()


def test_private_modules_promise_no_names() -> None:
    promising = [
        module
        for module, path in MODULES.items()
        if is_private(module) and exported_names(TREES[path]) is not None
    ]
    assert promising == []


def defined_names(tree: ast.Module) -> set[str]:
    """The names that a module binds, imports included."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {alias.asname or alias.name.partition(".")[0] for alias in node.names}
    return names


@pytest.mark.parametrize(
    "module", sorted(name for name, path in MODULES.items() if exported_names(TREES[path]))
)
def test_what_is_promised_is_there_once(module: str) -> None:
    tree = TREES[MODULES[module]]
    names = exported_names(tree) or []
    assert set(names) <= defined_names(tree)
    assert len(names) == len(set(names))


def test_names_that_others_import_are_public_or_in_a_private_module() -> None:
    """From a public module, other modules take only what its `__all__` promises."""
    taken = []
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            if not isinstance(node, ast.ImportFrom) or node.module not in MODULES:
                continue
            promised = exported_names(TREES[MODULES[node.module]])
            if is_private(node.module):
                continue
            taken += [
                f"{module_name(path)} takes {alias.name} from {node.module}"
                for alias in node.names
                if f"{node.module}.{alias.name}" not in MODULES
                and (promised is None or alias.name not in promised)
            ]
    assert taken == []


def test_type_checkers_see_misspelt_names() -> None:
    """They take any name of a module that has a `__getattr__` which they see."""
    seen = [
        module_name(path)
        for path, tree in TREES.items()
        if any(
            isinstance(node, ast.FunctionDef) and node.name == "__getattr__" for node in tree.body
        )
    ]
    assert seen == []
