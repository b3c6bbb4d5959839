"""`blindai-async attest`: what a server proves about its enclave."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, TypedDict

import typer

from blindai_async.cli.attestation_report import AttestationReport
from blindai_async.cli.evidence_recorder import EvidenceRecorder
from blindai_async.cli.report_output import AsJson, AsPage, publish
from blindai_async.cli.run_command import operation
from blindai_async.cli.server_options import Server, with_server
from blindai_async.errors import AttestationError

__all__ = ["attest"]


class _Shown(TypedDict):
    collateral: str
    show_platform: bool


def _origin(collateral: str) -> str:
    """Where collateral comes from, in words."""
    named = {"server": "the server", "pcs": "Intel's service (PCS)"}
    return named.get(collateral, collateral)


@with_server(without={"simulation"})
@operation
async def attest(
    server: Server,
    host: Annotated[
        str,
        typer.Argument(metavar="HOST", help="The server's name or address.", envvar="BLINDAI_HOST"),
    ],
    save_evidence: Annotated[
        Path | None,
        typer.Option("--save-evidence", help="Write the evidence here as JSON, as it came."),
    ] = None,
    show_platform: Annotated[
        bool,
        typer.Option("--show-platform", help="Show what identifies its machine, as the PPID."),
    ] = False,
    page: AsPage = None,
    as_json: AsJson = False,
) -> None:
    """Attest a server's enclave and print the report; no model and no data are sent."""
    recorder = EvidenceRecorder()
    subject = f"{host}, untrusted port {server.untrusted_port}"
    judged = subject, datetime.now(UTC), str(server.policy or "built in")
    shown: _Shown = {"collateral": _origin(server.collateral), "show_platform": show_platform}
    try:
        async with server.at(host).connect(interceptors=[recorder]) as connection:
            report = AttestationReport(*judged, connection.claims, **shown)
    except AttestationError as refusal:
        report = AttestationReport.refused(*judged, refusal, **shown)
    if save_evidence is not None:
        recorder.save(save_evidence)
    publish(report, page, as_json=as_json)
