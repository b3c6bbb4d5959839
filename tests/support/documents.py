"""The code blocks of a document, with what a comment before each says about how it is tested."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
SITE = ROOT / "docs"

_BLOCK = re.compile(
    r"(?:<!-- test: (?P<test>[^\n]+?) -->\n)?^```(?P<language>\w+)\n(?P<text>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True)
class Block:
    """A code block.

    Attributes:
        path: the document.
        line: where its text begins.
        language: what the fence says.
        test: what the comment before it says, or "".
        text: what it holds.
    """

    path: Path
    line: int
    language: str
    test: str
    text: str

    @property
    def name(self) -> str:
        """The document and the line, for a test's report."""
        return f"{self.path.relative_to(ROOT)}:{self.line}"


def pages() -> list[Path]:
    """The pages of the site that were written by hand."""
    return sorted(
        path
        for path in SITE.rglob("*.md")
        if "_build" not in path.parts and "generated" not in path.parts
    )


def blocks(path: Path, language: str) -> list[Block]:
    """The blocks of one language in a document."""
    text = path.read_text(encoding="utf-8")
    return [
        Block(
            path,
            text.count("\n", 0, found.start("text")) + 1,
            language,
            found["test"] or "",
            found["text"],
        )
        for found in _BLOCK.finditer(text)
        if found["language"] == language
    ]
