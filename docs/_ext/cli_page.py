"""Writes the reference of the command line from the commands themselves."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import typer.main

import blindai_async.cli
from blindai_async.cli.app import app

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["commands", "write_cli_page"]

PROGRAM = "blindai-async"


def commands() -> Iterator[tuple[str, Any]]:
    """Every command, by the words that call it, groups of commands before their members."""
    yield from _walk(PROGRAM, typer.main.get_command(app))


def _walk(words: str, command: Any) -> Iterator[tuple[str, Any]]:
    yield words, command
    for name, member in getattr(command, "commands", {}).items():
        yield from _walk(f"{words} {name}", member)


def write_cli_page(folder: Path) -> None:
    """Write the page of all commands."""
    _, *about = inspect.cleandoc(blindai_async.cli.__doc__ or "").split("\n\n")
    parts = ["# Command line", *about]
    for words, command in commands():
        parts += (
            _group(words, command) if hasattr(command, "commands") else _command(words, command)
        )
    (folder / "cli.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def _group(words: str, group: Any) -> list[str]:
    heading = [] if words == PROGRAM else [f"## `{words}`"]
    rows = [
        f"| `{words} {name}` | {_text(member.help)} |" for name, member in group.commands.items()
    ]
    return [
        *heading,
        _text(group.help),
        "\n".join(["| command | what it does |", "| --- | --- |", *rows]),
    ]


def _command(words: str, command: Any) -> list[str]:
    arguments = [parameter for parameter in command.params if not _is_option(parameter)]
    usage = " ".join([words, "[OPTIONS]", *map(_argument, arguments)])
    parts = [f"## `{words}`", f"```text\n{usage}\n```", _text(command.help)]
    if arguments:
        rows = [f"| `{_argument(argument)}` | {_text(argument.help)} |" for argument in arguments]
        parts.append("\n".join(["| argument | meaning |", "| --- | --- |", *rows]))
    panels: dict[str, list[Any]] = {}
    for parameter in filter(_is_option, command.params):
        panels.setdefault(getattr(parameter, "rich_help_panel", None) or "", []).append(parameter)
    for panel, options in panels.items():
        if panel:
            parts.append(f"**{panel}**")
        rows = [_option(option) for option in options]
        parts.append("\n".join(["| option | default | meaning |", "| --- | --- | --- |", *rows]))
    return parts


def _is_option(parameter: Any) -> bool:
    return str(parameter.opts[0]).startswith("-")


def _argument(argument: Any) -> str:
    name = argument.metavar or argument.name.upper()
    return str(name) if argument.required else f"[{name}]"


def _option(option: Any) -> str:
    names = ", ".join(f"`{name}`" for name in [*option.opts, *option.secondary_opts])
    if not getattr(option, "is_flag", False):
        names = f"{names} `{option.metavar or option.name.upper()}`"
    return f"| {names} | {_default(option)} | {_meaning(option)} |"


def _default(option: Any) -> str:
    if getattr(option, "is_flag", False):
        if option.secondary_opts:
            return f"`{option.opts[0] if option.default else option.secondary_opts[0]}`"
        return ""
    empty = option.default is None or option.default in ("", [], ())
    return "" if empty or callable(option.default) else f"`{option.default}`"


def _meaning(option: Any) -> str:
    text = _text(option.help)
    if getattr(option, "multiple", False) and "repeatable" not in text:
        text += " Repeatable."
    variables = option.envvar if isinstance(option.envvar, list | tuple) else [option.envvar]
    named = ", ".join(f"`{variable}`" for variable in variables if variable)
    return f"{text} Environment: {named}." if named else text


def _text(help_text: str | None) -> str:
    return " ".join((help_text or "").split()).replace("|", "\\|")
