"""How a command runs: its failures as one line and an exit code, its warnings as sentences."""

import asyncio
import contextlib
import functools
import logging
import os
import sys
import warnings
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, ParamSpec

import typer

from blindai_async.cli import console
from blindai_async.errors import (
    AttestationError,
    BlindAIError,
    CloudLookupError,
    CollateralError,
    DeadlineExceededError,
    DebugNotAllowedError,
    HardwareModeUnsupportedError,
    IdentityError,
    NotAnEnclaveError,
    RequestRejectedError,
    SecurityWarning,
    SignatureError,
    TcbStatusError,
    TransportError,
    VersionError,
)

__all__ = ["OperationError", "exit_code", "operation"]

P = ParamSpec("P")

INTERRUPTED = 130
REFUSED = 3
UNREACHABLE = 4
ROOT_STEP = 2

ADVICE: tuple[tuple[type[BlindAIError], str], ...] = (
    (IdentityError, "do not rely on it; an updated enclave's new policy comes from its owner"),
    (DebugNotAllowedError, "do not rely on it: its host can read its memory"),
    (TcbStatusError, "have the platform updated, or accept the status in the policy"),
    (AttestationError, "do not rely on it"),
    (SignatureError, "do not rely on it"),
    (HardwareModeUnsupportedError, "pass --simulation where unproven protection will do"),
    (VersionError, "use a server of version 0.5"),
    (DeadlineExceededError, "check the server, or allow more time with --timeout"),
    (CloudLookupError, "check BLINDAI_API_KEY"),
    (CollateralError, ""),
    (RequestRejectedError, ""),
    (TransportError, "check that the server runs, its address and its ports"),
)
"""What to do about an error; the first class that fits counts."""


class OperationError(Exception):
    """A failure of the command line's own, in words for its user."""


def exit_code(error: Exception) -> int:
    """The code that tells a script what kind of failure it was.

    Returns:
        3 where evidence or a proof was refused; 4 where nobody answered; 1 in every other case.
    """
    if isinstance(error, (AttestationError, SignatureError)):
        return REFUSED
    if isinstance(error, CollateralError):
        return 1 if error.status else UNREACHABLE
    if isinstance(error, TransportError) and not isinstance(error, RequestRejectedError):
        return UNREACHABLE
    return 1


def operation(
    command: Callable[P, Coroutine[Any, Any, None]],
    *,
    code_of: Callable[[Exception], int] = lambda _: 1,
) -> Callable[P, None]:
    """Make an asynchronous command one that typer runs, with this package's exit codes.

    Args:
        command: the command.
        code_of: the exit code of an error that ends it.
    """

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        code = _exit_code(lambda: asyncio.run(command(*args, **kwargs)), code_of)
        if code:
            raise typer.Exit(code)

    return run


def _exit_code(run: Callable[[], None], code_of: Callable[[Exception], int]) -> int:
    logging.getLogger("blindai_async").addHandler(logging.NullHandler())
    try:
        with _security_warnings() as sentences:
            run()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone. Python would complain once more when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (OperationError, BlindAIError, OSError) as error:
        console.complaint(describe(error))
        return code_of(error)
    for sentence in sentences:
        console.note(f"warning: {sentence}")
    return 0


def describe(error: Exception) -> str:
    """An error in one sentence: what failed, and what to do about it."""
    if isinstance(error, OSError) and not isinstance(error, BlindAIError):
        return f"{error.filename}: {error.strerror}" if error.filename else str(error)
    advice = next((text for kind, text in ADVICE if isinstance(error, kind)), "")
    if isinstance(error, NotAnEnclaveError) and error.step == ROOT_STEP:
        advice += ", unless it is an emulated platform: then name its root with --root"
    return f"{str(error).rstrip('.')}; {advice}" if advice else str(error)


@contextlib.contextmanager
def _security_warnings() -> Iterator[list[str]]:
    """Collect the warnings about missing protection, each once, instead of their source lines."""
    sentences: list[str] = []

    def collect(message: Warning | str, category: type[Warning], *args: Any, **more: Any) -> None:
        if not issubclass(category, SecurityWarning):
            show(message, category, *args, **more)
        elif str(message) not in sentences:
            sentences.append(str(message))

    with warnings.catch_warnings():
        show = warnings.showwarning
        warnings.showwarning = collect
        warnings.simplefilter("always", SecurityWarning)
        yield sentences
