"""How a command runs: its failures as one line and an exit code, its warnings as sentences."""

import asyncio
import contextlib
import functools
import inspect
import logging
import os
import sys
import warnings
from collections.abc import Callable, Collection, Coroutine, Iterator
from enum import StrEnum
from typing import Annotated, Any, ParamSpec

import typer

from blindai_async.cli import console
from blindai_async.cli.advice import FAILED, INTERRUPTED, describe, exit_code
from blindai_async.errors import BlindAIError, SecurityWarning

__all__ = ["LogLevelOption", "OperationError", "log_from", "operation"]

P = ParamSpec("P")


class OperationError(Exception):
    """A failure of the command line's own, in words for its user."""


class LogLevel(StrEnum):
    """From which level on the package's log goes to stderr."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


LogLevelOption = Annotated[
    LogLevel | None,
    typer.Option(
        "--log-level",
        envvar="BLINDAI_LOG_LEVEL",
        show_default=False,
        help="Write the package's log to stderr, from this level on.",
    ),
]


def log_from(level: LogLevel | None) -> None:
    """Write the package's log to stderr, where a level was asked for."""
    if level is not None:
        logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
        logging.getLogger("blindai_async").setLevel(level.value.upper())


def operation(command: Callable[P, Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Make an asynchronous command one that typer runs, with this package's exit codes.

    It gains the option ``--log-level``, and what typer knows of its call as ``context``.
    """

    @functools.wraps(command)
    def run(
        *args: Any,
        context: typer.Context | None = None,
        log_level: LogLevel | None = None,
        **kwargs: Any,
    ) -> None:
        log_from(log_level)
        code = _exit_code(lambda: asyncio.run(command(*args, **kwargs)), _options_of(context))
        if code:
            raise typer.Exit(code)

    own = inspect.signature(command).parameters.values()
    keyword = inspect.Parameter.KEYWORD_ONLY
    added = [
        inspect.Parameter("context", keyword, annotation=typer.Context),
        inspect.Parameter("log_level", keyword, default=None, annotation=LogLevelOption),
    ]
    # What typer reads: names, defaults, and annotations that carry the options.
    run.__signature__ = inspect.Signature([*own, *added])  # type: ignore[attr-defined] # PEP 362
    run.__annotations__ = dict(command.__annotations__) | {
        parameter.name: parameter.annotation for parameter in added
    }
    del run.__wrapped__
    return run


def _options_of(context: typer.Context | None) -> Collection[str] | None:
    if context is None:
        return None
    return {option for parameter in context.command.params for option in parameter.opts}


def _exit_code(run: Callable[[], None], options: Collection[str] | None) -> int:
    logging.getLogger("blindai_async").addHandler(logging.NullHandler())
    try:
        with _security_warnings() as sentences:
            run()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone. Python would complain once more when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except (OperationError, BlindAIError, OSError) as error:
        console.complaint(describe(error, options))
        return exit_code(error)
    for sentence in sentences:
        console.note(f"warning: {sentence}")
    return 0


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
