"""`blindai-async serve`: a server for development, tests and demos."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from blindai_async.cli import console
from blindai_async.cli.local_server import (
    kept_platform,
    make_server,
    server_directory,
    write_client_files,
)
from blindai_async.cli.run_command import OperationError, operation

if TYPE_CHECKING:
    from blindai_async.server import BlindAIServer
    from blindai_async.server.tee.emulated import EmulatedPlatform

__all__ = ["serve"]


@operation
async def serve(
    host: Annotated[str, typer.Option("--host", help="The address to listen on.")] = "127.0.0.1",
    attested_port: Annotated[
        int, typer.Option("--attested-port", help="For models and predictions; 0: a free one.")
    ] = 50051,
    untrusted_port: Annotated[
        int, typer.Option("--untrusted-port", help="For evidence; 0: a free one.")
    ] = 50052,
    directory: Annotated[
        Path | None,
        typer.Option(
            "--directory",
            help="Keeps the host's certificate and the models; else the directory of --emulate-sgx "
            "does, or a temporary one.",
        ),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option("--model", metavar="ID=PATH", help="Load this model at start; repeatable."),
    ] = None,
    uploads: Annotated[
        bool, typer.Option("--uploads/--no-uploads", help="Whether clients may upload models.")
    ] = True,
    emulate_sgx: Annotated[
        Path | None,
        typer.Option(
            "--emulate-sgx",
            metavar="DIR",
            help="Answer in hardware mode with an emulated platform. DIR keeps its keys, the "
            "host's certificate and the models, and policy.toml, host_server.pem and root.pem for "
            "clients are written there.",
        ),
    ] = None,
    emulate_tdx: Annotated[
        Path | None,
        typer.Option(
            "--emulate-tdx", metavar="DIR", help="The same with an emulated TDX platform."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON when ready.")] = False,
) -> None:
    """Run a server until SIGTERM or Ctrl-C; calls in flight may finish. Not for secrets."""
    models = _models(model or [])
    # The server says about itself what its user has to know.
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    platform, client_files = _platform(emulate_sgx, emulate_tdx)
    if directory is None and client_files is not None:
        # A client was given the host's certificate as a file: another one would lock it out.
        directory = server_directory(client_files)
    server = make_server(
        host=host,
        attested_port=attested_port,
        untrusted_port=untrusted_port,
        directory=directory,
        models=models,
        allow_uploads=uploads,
        hardware=platform,
    )

    def on_ready(server: "BlindAIServer") -> None:
        if client_files is not None and platform is not None:
            write_client_files(client_files, platform, server)
        _announce(server, platform, client_files, as_json=as_json)

    from blindai_async.server import run_until_signalled  # noqa: PLC0415 # an extra

    try:
        await run_until_signalled(server, on_ready=on_ready)
    except ValueError as error:
        raise OperationError(f"the server cannot start: {error}") from error


def _platform(sgx: Path | None, tdx: Path | None) -> "tuple[EmulatedPlatform | None, Path | None]":
    """The platform to emulate, and where what clients need is written."""
    if sgx is not None and tdx is not None:
        raise typer.BadParameter("a server runs on one platform", param_hint="--emulate-tdx")
    if sgx is not None:
        return kept_platform(sgx, "sgx"), sgx
    if tdx is not None:
        return kept_platform(tdx, "tdx"), tdx
    return None, None


def _models(options: list[str]) -> dict[str, Path]:
    models = {}
    for option in options:
        model_id, separator, path = option.partition("=")
        if not (model_id and separator and path):
            raise typer.BadParameter(f"{option!r} is not ID=PATH", param_hint="--model")
        models[model_id] = Path(path)
    return models


def _announce(
    server: "BlindAIServer",
    platform: "EmulatedPlatform | None",
    client_files: Path | None,
    *,
    as_json: bool,
) -> None:
    if as_json:
        console.json_line(
            {
                "host": server.host,
                "attested_port": server.attested_port,
                "untrusted_port": server.untrusted_port,
                "tee": None if platform is None else platform.tee,
                "client_files": None if client_files is None else str(client_files),
            }
        )
        return
    console.line(
        f"ready on {server.host}: attested port {server.attested_port}, "
        f"untrusted port {server.untrusted_port}"
    )
    if platform is None:
        console.line("simulation mode: clients pass --simulation, or simulation=True")
    else:
        console.line(
            f"emulated {platform.tee.upper()}: policy.toml, host_server.pem and root.pem are in "
            f"{client_files}"
        )
