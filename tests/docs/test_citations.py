"""What the code rests on can be looked up: a document that it cites is in the repository."""

from __future__ import annotations

import re

import pytest
from documents import ROOT

CITATION = re.compile(r"(?<![\w/.-])([\w/.-]+\.md)\b(?:,\s+\"([^\"]+)\")?")
SOURCES = sorted((ROOT / "src").rglob("*.py"))
CITATIONS = sorted(
    {
        (str(path.relative_to(ROOT)), document, " ".join(section.split()))
        for path in SOURCES
        for document, section in CITATION.findall(re.sub(r"https?://\S+", "", path.read_text()))
    }
)


@pytest.mark.parametrize(("source", "document", "section"), CITATIONS)
def test_a_cited_document_has_the_section(source: str, document: str, section: str) -> None:
    path = ROOT / document
    assert path.is_file(), f"{source} cites {document}"
    headings = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    assert not section or section in headings


def test_citations_were_found() -> None:
    assert CITATIONS
