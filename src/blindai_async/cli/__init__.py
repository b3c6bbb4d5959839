"""The command line, `blindai-async`: one file a command (extra `[cli]`).

Exit codes: 0; 1 where an operation failed, with one line on stderr that says what and what to do;
2 where the command line was wrong; 130 after Ctrl-C. `collateral` tells failures apart: 3 where
evidence was refused, 4 where nobody answered.
"""

import faulthandler
import os
import sys

__all__ = ["main"]


def main() -> int:
    """Run the command that the process's arguments name, and return its exit code."""
    if "GRPC_VERBOSITY" not in os.environ:
        _keep_stderr_for_python()
    try:
        from blindai_async.cli.app import run  # noqa: PLC0415 # the extra may be missing
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in {"rich", "typer"}:
            raise
        sys.stderr.write(
            "blindai-async: the command line needs more packages; "
            "run: pip install 'blindai-async[cli]'\n"
        )
        return 1
    except KeyboardInterrupt:
        return 130
    return run()


def _keep_stderr_for_python() -> None:
    """Keep the lines that native code writes out of stderr, where a failure is to be one line.

    gRPC writes one for every peer that it cannot reach. It reads GRPC_VERBOSITY when it is
    imported, which is before this function can set it.
    """
    try:
        kept = os.dup(2)
    except OSError:  # closed from the start
        return
    sys.stderr = os.fdopen(kept, "w", buffering=1, errors="backslashreplace", closefd=False)
    faulthandler.enable(sys.stderr)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
