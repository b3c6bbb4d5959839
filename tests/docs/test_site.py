"""The site is whole: every public name, every command, no request to anybody."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from cli_page import commands
from documents import ROOT, pages
from google.protobuf.message import Message
from layer_picture import layers
from public_api import documented_names, public_modules
from sphinx.util.inventory import InventoryFile

if TYPE_CHECKING:
    from pathlib import Path

# What a browser fetches by itself; a link that a reader follows is none.
FETCHED = re.compile(
    r"""<(?:script|img|iframe|source|audio|video|embed|object)\b[^>]*?(?:src|data)=["'](?:https?:)?//"""
    r"""|<link\b[^>]*?href=["'](?:https?:)?//"""
    r"""|@import\s+(?:url\()?["']?(?:https?:)?//"""
    r"""|url\(\s*["']?(?:https?:)?//""",
    re.IGNORECASE,
)

LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)#\s]+)(?:#[^)]*)?\)|!\[[^\]]*\]\(([^)\s]+)\)")
DOCUMENTS = [
    ROOT / name
    for name in (
        "README.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "CHANGELOG.md",
        "benchmarks/README.md",
    )
]


def test_every_public_name_has_an_entry(built_site: Path) -> None:
    with (built_site / "objects.inv").open("rb") as file:
        inventory = InventoryFile.load(file, "", lambda base, path: path)
    entries = {
        name for kind, names in inventory.items() if kind.startswith("py:") for name in names
    }
    expected = {name.full_name for name in documented_names()} | set(public_modules())
    assert expected - entries == set()


def test_every_entry_says_what_it_is(built_site: Path) -> None:
    undescribed = [
        name.home
        for name in documented_names()
        if not name.is_alias and isinstance(name.value, type) and not name.value.__doc__
        # What protobuf generates says its fields alone.
        if not issubclass(name.value, Message)
    ]
    assert undescribed == []


def test_every_command_and_option_is_in_the_reference(built_site: Path) -> None:
    page = (built_site / "reference" / "generated" / "cli.html").read_text()
    for words, command in commands():
        if not hasattr(command, "commands"):
            spans = '</span> <span class="pre">'.join(words.split())
            assert f">{spans}</span>" in page
        for option in command.params:
            named = option.opts[0].startswith("-") and words != "blindai-async"
            assert not named or f">{option.opts[0]}</span>" in page


def test_the_layer_picture_names_every_layer(built_site: Path) -> None:
    page = (built_site / "explanation" / "architecture.html").read_text()
    for name in (name for row in layers() for name in row):
        assert f">{name}</text>" in page


def test_no_page_makes_a_request(built_site: Path) -> None:
    files = [
        path for path in built_site.rglob("*") if path.suffix in {".html", ".css", ".svg", ".js"}
    ]
    assert len(files) > 30
    assert [
        f"{path}: {found[0]}" for path in files for found in FETCHED.finditer(path.read_text())
    ] == []


@pytest.mark.parametrize(
    "text",
    [
        '<script src="https://example.org/a.js"></script>',
        '<link rel="stylesheet" href="//example.org/a.css">',
        "@import url(https://example.org/a.css)",
        'src: url("https://example.org/a.woff2")',
    ],
)
def test_a_request_would_be_noticed(text: str) -> None:
    assert FETCHED.search(text)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    targets = [target or image for target, image in LINK.findall(document.read_text())]
    local = [
        target for target in targets if "://" not in target and not target.startswith("mailto:")
    ]
    assert [target for target in local if not (document.parent / target).exists()] == []


def test_every_page_was_built(built_site: Path) -> None:
    for page in pages():
        assert (built_site / page.relative_to(ROOT / "docs")).with_suffix(".html").is_file()
