"""The options of a report, and where it goes."""

from pathlib import Path
from typing import Annotated

import typer

from blindai_async._printable import printable
from blindai_async.cli import console
from blindai_async.cli.attestation_report import AttestationReport
from blindai_async.cli.report_html import report_page

__all__ = ["AsJson", "AsPage", "publish"]

_MAX_LINE = 4000

AsJson = Annotated[bool, typer.Option("--json", help="Print the report as JSON.")]
AsPage = Annotated[
    Path | None, typer.Option("--html", help="Write the report here, as one page to be filed.")
]


def publish(report: AttestationReport, page: Path | None, *, as_json: bool) -> None:
    """Print the report and write its page, then raise the refusal that it reports, if any.

    Raises:
        BlindAIError: the refusal.
        OSError: the page cannot be written.
    """
    if page is not None:
        page.write_text(report_page(report))
    if as_json:
        console.json_line(report.as_json())
    else:
        for text in report.lines():
            console.line(printable(text, _MAX_LINE))
    if report.refusal is not None:
        raise report.refusal
