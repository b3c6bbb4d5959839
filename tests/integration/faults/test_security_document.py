"""SECURITY.md names tests for what it claims: they are there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_every_test_that_the_threat_model_names_exists():
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(test_\w+))?`", (ROOT / "SECURITY.md").read_text())
    assert len(named) > 20
    for file, function in named:
        source = (ROOT / file).read_text()
        assert not function or re.search(rf"def {function}\(", source), f"{file}::{function}"
