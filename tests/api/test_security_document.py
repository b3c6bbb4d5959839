"""What SECURITY.md says is shown, is shown by a test that exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CLAIMS = sorted(
    set(re.findall(r"`(tests/[\w/]+\.py(?:::\w+)?)`", (ROOT / "SECURITY.md").read_text()))
)


@pytest.mark.parametrize("claim", CLAIMS)
def test_the_test_that_is_named_exists(claim: str) -> None:
    path, _, name = claim.partition("::")
    source = (ROOT / path).read_text()
    assert re.search(rf"def {name}\(", source) if name else "def test_" in source


def test_claims_were_found() -> None:
    assert len(CLAIMS) > 20
