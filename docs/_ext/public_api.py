"""Which modules and names of the package are public: the one answer for the site and the tests.

Public is the package itself, each module and package directly in it whose name begins with no
underscore, and each package below those that states its names in `__all__`. What lies deeper is
how a package is made, and may change between any two releases.
"""

from __future__ import annotations

import ast
import functools
import inspect
import pkgutil
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

__all__ = ["PACKAGE", "PublicName", "documented_names", "public_modules"]

PACKAGE = "blindai_async"


@dataclass(frozen=True)
class PublicName:
    """A name that a public module exports.

    Attributes:
        module: the public module.
        name: what it exports.
        home: the public name under which the reference documents the object.
    """

    module: str
    name: str
    home: str

    @property
    def full_name(self) -> str:
        """The dotted name."""
        return f"{self.module}.{self.name}"

    @property
    def is_alias(self) -> bool:
        """Whether the object is documented under another name."""
        return self.home != self.full_name

    @property
    def value(self) -> Any:
        """The object."""
        return getattr(import_module(self.module), self.name)


@functools.cache
def public_modules() -> tuple[str, ...]:
    """The dotted names of the public modules, the package itself first."""
    root = import_module(PACKAGE)
    return (PACKAGE, *_below(root, depth=1))


def _below(package: ModuleType, depth: int) -> Iterator[str]:
    for found in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        if found.name.rpartition(".")[2].startswith("_"):
            continue
        path = Path(package.__path__[0], found.name.rpartition(".")[2])
        source = path / "__init__.py" if found.ispkg else path.with_suffix(".py")
        if _states_names(source) and (found.ispkg or depth == 1):
            yield found.name
        if found.ispkg:
            yield from _below(import_module(found.name), depth + 1)


def _states_names(source: Path) -> bool:
    statements = ast.parse(source.read_text(encoding="utf-8")).body
    return any(
        isinstance(statement, ast.Assign)
        and any(isinstance(to, ast.Name) and to.id == "__all__" for to in statement.targets)
        for statement in statements
    )


@functools.cache
def documented_names() -> tuple[PublicName, ...]:
    """Every name that a public module exports, and where the reference documents it.

    An object that several modules export is documented at the first of them: the package itself,
    where that is one, since that is where users import it from.
    """
    homes: list[tuple[Any, str]] = []
    names = []
    for module in public_modules():
        exported = import_module(module)
        # Classes and functions first under their own names: `connect` is `AsyncConnection`.
        for name in sorted(exported.__all__, key=lambda name: (name.islower(), name)):
            value = getattr(exported, name)
            if inspect.ismodule(value) or name == "__version__":
                continue
            home = next((home for known, home in homes if known is value), None)
            if home is None:
                home = f"{module}.{name}"
                homes.append((value, home))
            names.append(PublicName(module, name, home))
    return tuple(names)
