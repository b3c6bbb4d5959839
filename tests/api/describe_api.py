"""The public API as text: names, parameters, defaults. A change of it has to touch the file.

`nox -s api` compares, `nox -s api -- --write` renews `tests/api/public_api.txt`. The text is the
same on every supported version of Python: annotations stand as the source spells them.
"""

from __future__ import annotations

import enum
import inspect
import sys
from difflib import unified_diff
from pathlib import Path
from typing import TYPE_CHECKING, Any, ForwardRef

from pydantic import BaseModel

from blindai_async import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
ON_FILE = Path(__file__).with_name("public_api.txt")
PACKAGE = "blindai_async"
OPERATORS = frozenset(
    f"__{name}__"
    for name in (
        *("aenter", "aexit", "aiter", "anext", "await", "enter", "exit"),
        *("array", "call", "dlpack", "dlpack_device", "getitem", "iter", "len"),
    )
)

STARS: dict[Any, str] = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}


def describe() -> str:
    """The whole public API."""
    sys.path.insert(0, str(ROOT / "docs" / "_ext"))
    from public_api import documented_names, public_modules

    lines = []
    for module in public_modules():
        lines.append(f"{module}:")
        for name in documented_names():
            if name.module != module:
                continue
            if name.is_alias:
                lines.append(f"  {name.name} = {name.home}")
            else:
                lines += [f"  {line}" for line in described(name.name, name.value)]
        lines.append("")
    return "\n".join(lines)


def described(name: str, value: Any) -> list[str]:
    """One public name, and of a class its public members."""
    if inspect.isclass(value):
        bases = ", ".join(base.__name__ for base in value.__bases__ if base is not object)
        return [f"class {name}({bases})", *(f"  {line}" for line in sorted(members(value)))]
    if callable(value):
        return [f"def {name}{signature(value)}"]
    return [f"{name}: {type(value).__name__}"]


def members(cls: type) -> Iterator[str]:
    """The public members of a class that the package defines, inherited ones included."""
    if issubclass(cls, enum.Enum):
        yield from (f"{member.name} = {member.value!r}" for member in cls)
    elif issubclass(cls, BaseModel):
        yield from fields(cls)
    elif not (issubclass(cls, tuple) or is_protocol(cls)) and "__init__" in names_of_package(cls):
        yield f"def __init__{signature(cls.__init__)}"
    if issubclass(cls, tuple):
        yield from (f"{field}: {annotation(cls, field)}" for field in getattr(cls, "_fields", ()))
    for name in names_of_package(cls):
        if (not name.startswith("_") or name in OPERATORS) and not issubclass(cls, enum.Enum):
            yield from member(name, inspect.getattr_static(cls, name))


def is_protocol(cls: type) -> bool:
    """Whether a class only describes what others provide."""
    return bool(getattr(cls, "_is_protocol", False))


def names_of_package(cls: type) -> set[str]:
    """What the package's own classes among the bases define."""
    own = [base for base in cls.__mro__ if base.__module__.startswith(PACKAGE)]
    known = set(cls.model_fields) | {"model_config"} if issubclass(cls, BaseModel) else set()
    known |= set(getattr(cls, "_fields", ())) | set(getattr(cls, "__dataclass_fields__", ()))
    return {name for base in own for name in vars(base)} - known


def member(name: str, value: Any) -> Iterator[str]:
    """One member of a class."""
    if isinstance(value, property):
        returned = value.fget.__annotations__.get("return", "?") if value.fget else "?"
        yield f"property {name} -> {returned}"
    elif isinstance(value, classmethod | staticmethod):
        yield f"{type(value).__name__} {name}{signature(value.__func__)}"
    elif inspect.isfunction(value):
        kind = "async def" if inspect.iscoroutinefunction(value) else "def"
        yield f"{kind} {name}{signature(value)}"
    elif type(value).__name__ == "member_descriptor":  # a slot: of a dataclass, or a plain one
        yield name
    else:
        yield f"{name}: {type(value).__name__}"


def fields(cls: type[BaseModel]) -> Iterator[str]:
    """The fields of a pydantic model: under which name each is passed, and its default."""
    for name, field in cls.model_fields.items():
        passed = f" (as {field.alias})" if field.alias else ""
        default = (
            ""
            if field.is_required()
            else f" = {spelled(field.get_default(call_default_factory=True))}"
        )
        yield f"{name}{passed}: {annotation(cls, name)}{default}"


def annotation(cls: type, name: str) -> str:
    """An attribute's annotation as the source spells it."""
    for base in cls.__mro__:
        found = vars(base).get("__annotations__", {}).get(name)
        if found is not None:
            return annotation_text(found)
    return "?"


def signature(function: Any) -> str:
    """Parameters with defaults and annotations, on one line."""
    parameters = inspect.signature(function).parameters.values()
    parts = []
    star = False
    for parameter in parameters:
        if parameter.kind is parameter.KEYWORD_ONLY and not star:
            parts.append("*")
            star = True
        star = star or parameter.kind is parameter.VAR_POSITIONAL
        parts.append(one_parameter(parameter))
    positional = [p for p in parameters if p.kind is p.POSITIONAL_ONLY]
    if positional:
        parts.insert(len(positional), "/")
    returned = inspect.signature(function).return_annotation
    arrow = "" if returned is inspect.Signature.empty else f" -> {annotation_text(returned)}"
    return f"({', '.join(parts)}){arrow}"


def one_parameter(parameter: inspect.Parameter) -> str:
    """A parameter as a definition would write it."""
    stars = STARS.get(parameter.kind, "")
    text = f"{stars}{parameter.name}"
    if parameter.annotation is not parameter.empty:
        text += f": {annotation_text(parameter.annotation)}"
    return (
        text if parameter.default is parameter.empty else f"{text} = {spelled(parameter.default)}"
    )


def annotation_text(found: Any) -> str:
    """An annotation as text."""
    if isinstance(found, ForwardRef):
        return found.__forward_arg__
    return found if isinstance(found, str) else inspect.formatannotation(found)


def spelled(default: Any) -> str:
    """A default value; an object without a spelling of its own by its class."""
    if default == __version__:  # a release changes it, and nothing else
        return "<version>"
    if type(default).__name__ == "_HAS_DEFAULT_FACTORY_CLASS":
        return "<made anew>"
    if isinstance(default, enum.Enum):
        return f"{type(default).__name__}.{default.name}"
    if isinstance(default, set | frozenset):
        return "{" + ", ".join(sorted(map(spelled, default))) + "}"
    if isinstance(default, tuple | list):
        brackets = "()" if isinstance(default, tuple) else "[]"
        return brackets[0] + ", ".join(map(spelled, default)) + brackets[1]
    if default is None or isinstance(default, bool | int | float | str | bytes):
        return repr(default)
    return f"<{type(default).__name__}>"


def difference(now: str) -> str:
    """What differs between the API and the file, or "" where nothing does."""
    before = ON_FILE.read_text(encoding="utf-8") if ON_FILE.is_file() else ""
    lines = unified_diff(
        before.splitlines(), now.splitlines(), "on file", "the package", lineterm="", n=1
    )
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    """Compare, or with `--write` renew."""
    now = describe()
    if "--write" in arguments:
        ON_FILE.write_text(now, encoding="utf-8")
        return 0
    differs = difference(now)
    if differs:
        sys.stderr.write(
            f"{differs}\nthe public API changed; if it should: nox -s api -- --write\n"
        )
    return 1 if differs else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
