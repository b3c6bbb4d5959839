"""The built site, and the servers that the examples talk to."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from documents import ROOT, SITE

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def built_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as `nox -s docs` builds it: every warning is an error."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-q", "-n", "-W", "--keep-going", "-b", "html"]
    # Doctrees of another build would hide the warnings of pages that are not read again.
    ran = subprocess.run(
        [*command, "-d", str(folder / "doctrees"), str(SITE), str(folder / "html")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return folder / "html"
