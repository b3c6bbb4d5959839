"""`blindai-async collateral`: what Intel has signed about a platform, in a folder for a client."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from blindai_async._printable import printable
from blindai_async.attestation import SgxCollateral, TrustRoot, verify_dcap_attestation
from blindai_async.cli import console
from blindai_async.cli.report_output import AsJson
from blindai_async.cli.run_command import OperationError, operation
from blindai_async.cli.server_options import Server, with_server
from blindai_async.collateral import PartSummary, PcsClient, read_bundle, summarize, write_bundle
from blindai_async.collateral.services import INTEL_PCS_URL
from blindai_async.errors import AttestationError, CollateralError, QuoteValidationError

__all__ = ["collateral"]

MAX_QUOTE_FILE = 1 << 20
LAST_COLLATERAL_STEP = 6

collateral: typer.Typer = typer.Typer(
    no_args_is_help=True, help="Fetch and show what Intel signs of platforms."
)


@collateral.callback()
def _group() -> None:
    """Fetch and show what Intel signs of platforms."""


@collateral.command("fetch")
@with_server(without={"policy", "simulation", "collateral", "require_fresh"})
@operation
async def fetch(
    server: Server,
    output: Annotated[Path, typer.Option("--output", help="The folder to write to.")],
    host: Annotated[
        str | None, typer.Argument(metavar="[HOST]", help="A server whose platform it is about.")
    ] = None,
    quote: Annotated[
        Path | None, typer.Option("--quote", help="A quote of the platform; in place of HOST.")
    ] = None,
    service: Annotated[
        str, typer.Option("--service", help='Whom to ask: "pcs" (Intel), or the URL of a PCCS.')
    ] = "pcs",
    update: Annotated[
        str, typer.Option("--update", help='"standard", or "early" for what is to come.')
    ] = "standard",
    number: Annotated[
        int | None,
        typer.Option("--tcb-evaluation-data-number", help="Of TCB info and QE identity."),
    ] = None,
    tls_ca: Annotated[
        Path | None, typer.Option("--tls-ca", help="What vouches for the service, PEM.")
    ] = None,
    proxy: Annotated[
        str | None, typer.Option("--proxy", help="The URL of a proxy; else the environment's.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Fetch a platform's collateral into a folder, for `connect(collateral=FOLDER)`."""
    if (host is None) == (quote is None):
        raise typer.BadParameter("name a HOST or a file with --quote, one of them")
    try:
        client = PcsClient(
            INTEL_PCS_URL if service == "pcs" else service,
            update=update,  # type: ignore[arg-type] # another word is refused there
            tcb_evaluation_data_number=number,
            proxy=proxy,
            tls_ca=tls_ca,
        )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    except ModuleNotFoundError as error:
        raise OperationError(str(error)) from error
    if quote is not None:
        with quote.open("rb") as file:
            evidence = file.read(MAX_QUOTE_FILE)
    else:
        evidence = await _quote_of(server.at(host or ""))
    fetched = await client.fetch(evidence)
    _require_sound(evidence, fetched, server.trust_root)
    write_bundle(output, fetched)
    _print(summarize(fetched), as_json=as_json)
    console.note(f"wrote {output}, as it came from {client.url}")


@collateral.command("show")
@operation
async def show(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder of collateral.")],
    as_json: AsJson = False,
) -> None:
    """Show who has signed each part of the collateral in a folder, and how long it is valid."""
    try:
        parts = summarize(read_bundle(folder))
    except CollateralError as error:
        raise OperationError(str(error)) from error
    _print(parts, as_json=as_json)


class _QuoteSeen(Exception):  # noqa: N818 - not an error: a connection that has served its purpose
    """Ends a connection as soon as it has its quote."""

    def __init__(self, quote: bytes) -> None:
        super().__init__("the quote has come")
        self.quote = quote


class _QuoteSource:
    """Takes the quote in the place where a connection would fetch collateral for it."""

    async def fetch(self, quote: bytes) -> SgxCollateral:
        raise _QuoteSeen(quote)


async def _quote_of(server: Server) -> bytes:
    """Ask a server for a quote; nothing is proven, and nothing but the platform is read from it."""
    try:
        async with server.connect(collateral=_QuoteSource()):
            raise OperationError("the server gave no quote")
    except _QuoteSeen as seen:
        return seen.quote


def _require_sound(quote: bytes, fetched: SgxCollateral, root: TrustRoot) -> None:
    """Refuse collateral that no client would accept, rather than write it."""
    try:
        verify_dcap_attestation(quote, fetched, b"", trust_root=root)
    except QuoteValidationError as error:
        # What comes later is about the enclave, and about held data that are not here.
        if error.step <= LAST_COLLATERAL_STEP:
            raise
    except AttestationError:
        pass


def _print(parts: list[PartSummary], *, as_json: bool) -> None:
    now = datetime.now(UTC)
    if as_json:
        console.json_line([part.as_dict() | {"valid": _is_valid(part, now)} for part in parts])
        return
    for part in parts:
        number = "" if part.evaluation_number is None else f", number {part.evaluation_number}"
        expired = "" if _is_valid(part, now) else "  NOT VALID NOW"
        console.line(
            printable(
                f"{part.part:<16} {part.valid_from} to {part.valid_until}  "
                f"by {part.issuer}{number}{expired}"
            )
        )


def _is_valid(part: PartSummary, now: datetime) -> bool:
    start, end = map(datetime.fromisoformat, (part.valid_from, part.valid_until))
    return start <= now <= end
