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
    _give(Policy.for_claims(claims), output)
    console.note(
        "trust on first use: the evidence proves that a genuine enclave measures so, not that "
        f"it is the one you mean; compare {_MEASURED[claims.tee]} with the code that you have read"
    )
    if claims.debug:
        console.note("this is a DEBUG enclave, whose memory its host reads; the policy allows it")


@policy.command("from-sigstruct")
@operation
async def from_sigstruct(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="The .sig file of Gramine or Intel's SDK.")
    ],
    output: Annotated[
        Path | None, typer.Option("--output", help="Write the policy here; else it is printed.")
    ] = None,
    allow_debug: Annotated[
        bool, typer.Option("--allow-debug", help="Accept a debug enclave. Never for real data.")
    ] = False,
) -> None:
    """Write the policy that accepts the enclave that was built, from what its signer has signed."""
    from blindai_async.attestation.sigstruct import (  # noqa: PLC0415 # for this command alone
        SIGSTRUCT_SIZE,
        SigStruct,
    )

    with file.open("rb") as opened:
        content = opened.read(SIGSTRUCT_SIZE + 1)
    try:
        built = SigStruct.from_bytes(content)
    except ValueError as error:
        raise OperationError(
            f"{file}: {error}; name the .sig file that the enclave's build has written"
        ) from error
    try:
        made = built.policy(allow_debug=allow_debug)
    except ValueError as error:
        raise OperationError(
            f"{file}: {error}; build it without debug mode, or pass --allow-debug for tests"
        ) from error
    _give(made, output)
    signed = "" if built.signed_on is None else f", signed on {built.signed_on}"
    console.note(
        f"security version {built.isv_svn} or later of product {built.isv_prod_id}{signed}; the "
        "signature holds, and whose it is, mr_signer says: compare it with your own key's"
    )
    if built.debug:
        console.note("this is a DEBUG enclave, whose memory its host reads; the policy allows it")


def _give(made: Policy, output: Path | None) -> None:
    """Print a policy, or write it to a file."""
    text = made.to_toml()
    if output is None:
        console.line(text.rstrip("\n"))
    else:
        output.write_text(text)
        console.line(f"wrote {output}")


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
