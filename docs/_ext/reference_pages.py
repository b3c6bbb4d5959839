"""Writes a page of the reference for each public module, so that no public name can go missing."""

from __future__ import annotations

import ast
import functools
import inspect
from typing import TYPE_CHECKING, Any

from public_api import PACKAGE, PublicName, documented_names, public_modules
from pydantic import BaseModel
from sphinx.domains.python import PythonDomain
from sphinx.pycode import ModuleAnalyzer

if TYPE_CHECKING:
    from pathlib import Path

    from docutils import nodes
    from sphinx.addnodes import pending_xref
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

__all__ = ["PublicNamesDomain", "is_hidden", "leave_foreign_names_as_text", "write_reference"]

KINDS = ("Classes", "Functions", "Values", "Errors", "Warnings", "Documented elsewhere")


def write_reference(folder: Path) -> None:
    """Write one page a public module."""
    names = documented_names()
    for module in public_modules():
        own = [name for name in names if name.module == module]
        (folder / f"{module}.rst").write_text(_page(module, own), encoding="utf-8")


def _page(module: str, names: list[PublicName]) -> str:
    title = f"``{module}``"
    parts = [_heading(title, "="), f".. automodule:: {module}", f".. py:currentmodule:: {module}"]
    entries: dict[str, list[str]] = {kind: [] for kind in KINDS}
    for name in sorted(names, key=lambda name: name.name.lower()):
        kind, text = _alias(name) if name.is_alias else _entry(name)
        entries[kind].append(text)
    for kind, texts in entries.items():
        if texts:
            parts += [_heading(kind, "-"), *texts]
    return "\n\n".join(parts) + "\n"


def _heading(text: str, underline: str) -> str:
    return f"{text}\n{underline * len(text)}"


def _entry(name: PublicName) -> tuple[str, str]:
    value = name.value
    if inspect.isclass(value):
        return _class_entry(name, value)
    if callable(value):
        return "Functions", f".. autofunction:: {name.full_name}"
    return "Values", _value(name)


def _class_entry(name: PublicName, value: type) -> tuple[str, str]:
    if issubclass(value, BaseModel):
        value.model_rebuild()  # a deferred one has no signature yet
    options = "   :members:"
    if any(not is_hidden(base) for base in value.__bases__):
        options += "\n   :show-inheritance:"
    if issubclass(value, BaseException):
        kind = "Warnings" if issubclass(value, Warning) else "Errors"
        return kind, f".. autoexception:: {name.full_name}\n{options}"
    if _has_private_base(value):
        options += "\n   :inherited-members: BaseModel"
    return "Classes", f".. autoclass:: {name.full_name}\n{options}"


def is_hidden(base: type) -> bool:
    """Whether a reader cannot look up this base class, or learns nothing from it."""
    return base is object or base.__module__.startswith(f"{PACKAGE}._")


def _has_private_base(value: type) -> bool:
    """Whether it inherits from a class of the package that has no entry of its own."""
    documented = {id(name.value) for name in documented_names()}
    return any(
        base.__module__.startswith(PACKAGE) and id(base) not in documented
        for base in value.__mro__[1:]
    )


def _value(name: PublicName) -> str:
    kind = type(name.value).__name__
    described = _comment(name.module, name.name) or [f"A `{kind}`."]
    body = "\n".join(f"   {line}".rstrip() for line in described)
    return f".. py:data:: {name.name}\n   :type: {kind}\n\n{body}"


def _comment(module: str, name: str) -> list[str]:
    """The docstring below an assignment, in the module where the name comes from."""
    while True:
        analyzer = ModuleAnalyzer.for_module(module)
        described = analyzer.find_attr_docs().get(("", name))
        if described:
            return described
        origin = _imported_from(analyzer.code, name)
        if origin is None:
            return []
        module = origin


def _imported_from(source: str, name: str) -> str | None:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and any(
            (alias.asname or alias.name) == name for alias in node.names
        ):
            return node.module
    return None


def _alias(name: PublicName) -> tuple[str, str]:
    kind = "class" if inspect.isclass(name.value) else "data"
    directive = f".. py:{kind}:: {name.name}\n   :no-typesetting:"
    return "Documented elsewhere", f"{directive}\n\n``{name.name}`` is :py:obj:`{name.home}`."


@functools.cache
def _homes() -> dict[str, str]:
    """Of each documented name, its last component: how docstrings and annotations write it."""
    return {name.home.rpartition(".")[2]: name.home for name in documented_names()}


def _documented_as(name: str) -> str | None:
    """The dotted name under which the reference has a class, function, value or their member."""
    owner, _, member = name.rpartition(".")
    if owner and not owner.startswith(PACKAGE) and owner not in _homes():
        return None
    if member in _homes():
        return _homes()[member]
    of_class = _homes().get(owner.rpartition(".")[2])
    return None if of_class is None else f"{of_class}.{member}"


class PublicNamesDomain(PythonDomain):
    """Sphinx's Python domain, which finds `Policy` as a docstring or an annotation writes it.

    An object stands in several modules, public and private: each mention leads to the one entry.
    """

    def find_obj(
        self,
        env: BuildEnvironment,
        modname: str,
        classname: str,
        name: str,
        typ: str | None,
        searchmode: int = 0,
    ) -> list[tuple[str, Any]]:
        """Find the entry of a name; the documented one before any other."""
        home = _documented_as(name)
        if home is not None and home in self.objects:
            return [(home, self.objects[home])]
        return super().find_obj(env, modname, classname, name, typ, searchmode)


def leave_foreign_names_as_text(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, contnode: nodes.Element
) -> nodes.Node | None:
    """Show what is not of this package, or inside it, as it is written.

    A name that should be in a public module or class and is not stays unresolved: the build
    warns of it, and fails.
    """
    owner = node.get("reftarget", "").rpartition(".")[0]
    if node.get("refdomain") != "py" or owner in public_modules() or owner in _homes().values():
        return None
    return contnode
