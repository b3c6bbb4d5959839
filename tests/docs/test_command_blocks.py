"""Every command in a document is one that the program, nox or pip takes."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import sys
import tomllib
from typing import TYPE_CHECKING, Any

import pytest
from cli_page import commands
from documents import ROOT, blocks, pages

if TYPE_CHECKING:
    from pathlib import Path

OURS = "blindai-async"
COMMANDS = dict(commands())
OTHER_PROGRAMS = {"cat", "cp", "git"}
DOCUMENTS = [
    *pages(),
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "benchmarks/README.md")),
]
HERE_DOCUMENT = re.compile(r"^(.*?)<<'?(\w+)'?(.*)\n(?:.*\n)*?\2\n", re.MULTILINE)


def lines_of(text: str) -> list[str]:
    """The commands of a block: lines joined that are continued, and texts left out."""
    joined = HERE_DOCUMENT.sub(r"\1\3\n", text.replace("\\\n", " "))
    commands = [line for row in joined.splitlines() for line in re.split(r"\s*&&\s*", row)]
    return [line.strip() for line in commands if line.strip() and not line.startswith("#")]


LINES = sorted(
    {
        line
        for document in DOCUMENTS
        for block in blocks(document, "console")
        for line in lines_of(block.text)
    }
)


def words_of_command(words: list[str]) -> tuple[str, list[str]]:
    """The longest beginning of a line that names a command, and the rest."""
    for length in range(len(words), 0, -1):
        if " ".join(words[:length]) in COMMANDS:
            return " ".join(words[:length]), words[length:]
    raise AssertionError(f"{words} name no command")


def sessions() -> set[str]:
    """The sessions of the noxfile."""
    tree = ast.parse((ROOT / "noxfile.py").read_text())
    return {
        node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.decorator_list
    }


def options_of(command: Any) -> dict[str, Any]:
    return {
        name: option for option in command.params for name in (*option.opts, *option.secondary_opts)
    }


@pytest.mark.parametrize("line", [line for line in LINES if line.startswith(OURS)])
def test_a_line_names_options_and_arguments_that_the_command_has(line: str) -> None:
    name, rest = words_of_command(shlex.split(line))
    options = options_of(COMMANDS[name]) | {"--help": None}
    arguments = [option for option in COMMANDS[name].params if not option.opts[0].startswith("-")]
    given = []
    while rest:
        word = rest.pop(0)
        if not word.startswith("-"):
            given.append(word)
            continue
        assert word in options
        if options[word] is not None and not getattr(options[word], "is_flag", False):
            assert rest, f"{word} takes a value"
            rest.pop(0)
    if "--help" not in line and "--profile" not in line:  # which may name what is missing
        assert len(given) >= sum(argument.required for argument in arguments)
        assert arguments or not given


@pytest.mark.parametrize(
    "name", sorted({words_of_command(shlex.split(x))[0] for x in LINES if x.startswith(OURS)})
)
def test_a_command_explains_itself(name: str) -> None:
    program = "from blindai_async.cli import main; raise SystemExit(main())"
    ran = subprocess.run(
        [sys.executable, "-c", program, *name.split()[1:], "--help"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "Usage" in ran.stdout


@pytest.mark.parametrize("line", [line for line in LINES if not line.startswith(OURS)])
def test_a_line_names_a_session_or_an_extra_that_exists(line: str) -> None:
    words = shlex.split(line)
    if words[:3] == ["python", "-m", "pip"]:
        words = words[2:]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    if words[0] == "nox":
        assert words[1:2] == ["-s"]
        named = words[2 : words.index("--") if "--" in words else None]
        assert set(named) <= sessions()
    elif words[0] == "pip":
        extras = {
            extra
            for word in words
            for found in re.findall(r"\[(.+)\]", word)
            for extra in found.split(",")
        }
        groups = {words[at + 1] for at, word in enumerate(words) if word == "--group"}
        assert extras <= project["project"]["optional-dependencies"].keys()
        assert groups <= project["dependency-groups"].keys()
    else:
        assert words[0] in OTHER_PROGRAMS


def test_commands_were_found() -> None:
    assert sum(line.startswith(OURS) for line in LINES) > 8
    assert {"tests", "docs", "demo"} <= sessions()


def test_every_fenced_block_has_a_language(document_texts: dict[Path, str]) -> None:
    bare = [
        str(path)
        for path, text in document_texts.items()
        if any(
            fence in {"```", "~~~"}
            for fence in re.findall(r"^(```\S*|~~~\S*)", text, re.MULTILINE)[::2]
        )
    ]
    assert bare == []


@pytest.fixture
def document_texts() -> dict[Path, str]:
    return {path: path.read_text() for path in DOCUMENTS}
