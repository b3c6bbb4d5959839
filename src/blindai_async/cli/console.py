"""What the commands write: lines, results for machines, progress bars."""

import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from blindai_async._printable import printable

__all__ = ["complaint", "json_line", "line", "note", "progress"]

_MAX_LINE = 4000

Advance = Callable[[int, int], None]
"""Takes what is done and the total, both in the same unit."""


def line(text: str) -> None:
    """A line of the result, on stdout at once: a reader may wait for it at the end of a pipe."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def json_line(result: Any) -> None:
    """The result for machines, as one line of JSON on stdout."""
    line(json.dumps(result))


def note(text: str) -> None:
    """A line beside the result, on stderr; what a server said may stand in it."""
    sys.stderr.write(f"{printable(' '.join(text.split()), _MAX_LINE)}\n")
    sys.stderr.flush()


def complaint(text: str) -> None:
    """The one line that ends an operation that failed."""
    note(f"blindai-async: {text}")


@contextlib.contextmanager
def progress(label: str) -> Iterator[Advance]:
    """A progress bar on stderr while the body runs; nothing where stderr is no terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _done, _total: None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
