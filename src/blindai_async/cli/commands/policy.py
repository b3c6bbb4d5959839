"""`blindai-async policy`: policy files."""

from pathlib import Path
from typing import Annotated, Final

import typer

from blindai_async.attestation import Claims, Policy
from blindai_async.cli import console
from blindai_async.cli.run_command import OperationError, operation
from blindai_async.cli.server_options import Server, with_server
from blindai_async.errors import AttestationError

__all__ = ["policy"]

_MEASURED: Final = {"sgx": "mr_enclave", "tdx": "mr_td and the rtmrs"}

policy: typer.Typer = typer.Typer(no_args_is_help=True, help="Make policy files.")


@policy.callback()
def _group() -> None:
    """Make policy files."""


@policy.command("from-server")
@with_server(without={"policy", "simulation"})
@operation
async def from_server(
    server: Server,
    host: Annotated[
        str,
        typer.Argument(metavar="HOST", help="The server's name or address.", envvar="BLINDAI_HOST"),
    ],
    output: Annotated[
        Path | None, typer.Option("--output", help="Write the policy here; else it is printed.")
    ] = None,
) -> None:
    """Write the policy that accepts exactly the enclave that answers now: trust on first use."""
    claims = await _proven_claims(server.at(host))
    text = Policy.for_claims(claims).to_toml()
    if output is None:
        console.line(text.rstrip("\n"))
    else:
        output.write_text(text)
        console.line(f"wrote {output}")
    console.note(
        "trust on first use: the evidence proves that a genuine enclave measures so, not that "
        f"it is the one you mean; compare {_MEASURED[claims.tee]} with the code that you have read"
    )
    if claims.debug:
        console.note("this is a DEBUG enclave, whose memory its host reads; the policy allows it")


async def _proven_claims(server: Server) -> Claims:
    """What the server proves, whether or not the built-in policy would accept it."""
    try:
        async with server.connect() as connection:
            claims = connection.claims
    except AttestationError as refusal:
        claims = refusal.claims
        if claims is None or not claims.verified:
            raise
    if claims is None:
        raise OperationError("the server proved nothing")
    return claims
