"""Runs the benchmarks: ``python -m benchmarks [name ...]``.

Prints a table as it goes, and writes ``docs/benchmarks.json`` and ``docs/benchmarks.svg`` when all
of them have run.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import logging
import os
import platform
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.plot import draw

if TYPE_CHECKING:
    from benchmarks.measuring import Figure

_NAMES = ("imports", "attestation", "tensors", "prediction", "batching", "event_loop", "memory")
_DOCS = Path(__file__).parent.parent / "docs"


def main() -> None:
    """Run the benchmarks that the command line names, or all of them."""
    logging.getLogger("blindai_async").setLevel(logging.ERROR)
    names = sys.argv[1:] or _NAMES
    unknown = set(names) - set(_NAMES)
    if unknown:
        sys.exit(f"no such benchmark: {', '.join(sorted(unknown))}; there are {', '.join(_NAMES)}")
    figures: list[Figure] = []
    for name in names:
        module = importlib.import_module(f"benchmarks.{name}")
        measured = asyncio.run(module.run())
        for figure in measured:
            print(line(figure), flush=True)
            figures.append(figure)
    if not sys.argv[1:]:
        _DOCS.mkdir(exist_ok=True)
        machine = f"{os.cpu_count()} CPUs, Python {platform.python_version()}"
        report = {"machine": machine, "figures": [figure._asdict() for figure in figures]}
        (_DOCS / "benchmarks.json").write_text(json.dumps(report, indent=2) + "\n")
        (_DOCS / "benchmarks.svg").write_text(draw(figures, machine))


def line(figure: Figure) -> str:
    """One row of the table: a Markdown one, so that it can be put into a document."""
    mark = "yes" if figure.holds else "**no**"
    value = f"{figure.value:.3g} ({figure.low:.3g} to {figure.high:.3g})"
    cells = (figure.what, figure.against, value, figure.bound, mark, figure.detail)
    return f"| {' | '.join(cells)} |"


main()
