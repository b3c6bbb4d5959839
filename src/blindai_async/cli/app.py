"""The commands put together."""

from typing import Annotated

import typer

from blindai_async._version import __version__
from blindai_async.cli import console
from blindai_async.cli.commands.attest import attest
from blindai_async.cli.commands.collateral import collateral
from blindai_async.cli.commands.delete import delete
from blindai_async.cli.commands.demo import demo
from blindai_async.cli.commands.policy import policy
from blindai_async.cli.commands.predict import predict
from blindai_async.cli.commands.serve import serve
from blindai_async.cli.commands.upload import upload
from blindai_async.cli.commands.verify import verify
from blindai_async.cli.run_command import LogLevelOption, log_from

__all__ = ["app", "run"]

# Typer's own tracebacks print local variables, and an API key may be one.
app: typer.Typer = typer.Typer(
    name="blindai-async",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _print_version(asked: bool) -> None:
    if asked:
        console.line(f"blindai-async {__version__}")
        raise typer.Exit


@app.callback()
def blindai_async(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
    log_level: LogLevelOption = None,
) -> None:
    """Confidential inference with BlindAI 0.5 servers: ONNX models inside SGX enclaves.

    An option counts before an environment variable (BLINDAI_HOST, BLINDAI_POLICY,
    BLINDAI_CERTIFICATE, BLINDAI_ROOT, ...), and that before a profile (--profile).

    Exit codes: 2 for a wrong command line, 3 for refused evidence or a refused proof, 4 for a
    server that is not reached, 1 for every other failure.
    """
    del version  # its callback has printed it
    log_from(log_level)


for _command in (demo, serve, upload, predict, delete, attest, verify):
    app.command()(_command)
app.add_typer(policy, name="policy")
app.add_typer(collateral, name="collateral")


def run() -> int:
    """Run the command that the process's arguments name, and return its exit code."""
    try:
        app(prog_name="blindai-async")
    except SystemExit as exit_:  # how typer ends, in every case
        return exit_.code if isinstance(exit_.code, int) else 1
    except KeyboardInterrupt:
        return 130
    return 0
