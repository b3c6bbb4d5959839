"""Failures as one line and an exit code, warnings as sentences."""

from __future__ import annotations

import subprocess
import sys
import warnings
from typing import TYPE_CHECKING

import pytest
import typer

from blindai_async import errors
from blindai_async.cli.advice import describe
from blindai_async.cli.run_command import OperationError, operation

if TYPE_CHECKING:
    from collections.abc import Callable


def exit_code_of(command: Callable[[], None]) -> int:
    try:
        command()
    except typer.Exit as exit_:
        return exit_.exit_code
    return 0


def raising(error: BaseException) -> Callable[[], None]:
    @operation
    async def command() -> None:
        raise error

    return command


def test_success_is_silent(capfd: pytest.CaptureFixture[str]) -> None:
    @operation
    async def command() -> None:
        pass

    assert exit_code_of(command) == 0
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OperationError("what and\nwhat to do"), "blindai-async: what and what to do\n"),
        (
            FileNotFoundError(2, "No such file or directory", "model.onnx"),
            "blindai-async: model.onnx: No such file or directory\n",
        ),
        (
            errors.RequestRejectedError("Model doesn't exist\x1b[2J"),
            "blindai-async: Model doesn't exist [2J\n",
        ),
    ],
)
def test_a_failure_is_one_plain_line(
    error: Exception, line: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert exit_code_of(raising(error)) == 1
    assert capfd.readouterr() == ("", line)


def test_ctrl_c_is_silent(capfd: pytest.CaptureFixture[str]) -> None:
    assert exit_code_of(raising(KeyboardInterrupt())) == 130
    assert capfd.readouterr() == ("", "")


def test_a_bug_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        raising(ZeroDivisionError())()


def test_missing_protection_is_said_in_one_sentence(capfd: pytest.CaptureFixture[str]) -> None:
    @operation
    async def command() -> None:
        for _ in range(2):
            warnings.warn("nothing is\nproven", errors.SimulationModeWarning, stacklevel=1)

    assert exit_code_of(command) == 0
    assert capfd.readouterr() == ("", "warning: nothing is proven\n")


def test_other_warnings_are_left_alone() -> None:
    @operation
    async def command() -> None:
        warnings.warn("old", DeprecationWarning, stacklevel=1)

    with pytest.raises(DeprecationWarning):
        command()


@pytest.mark.parametrize("name", errors.__all__)
def test_what_to_do_never_weakens_an_attestation_failure(name: str) -> None:
    kind = getattr(errors, name)
    if not issubclass(kind, errors.AttestationError):
        return
    hashes = {"expected_hash": "", "measured_hash": ""}
    more = {
        errors.IdentityError: hashes,
        errors.EnclaveHeldDataError: hashes,
        errors.TcbStatusError: {"status": "OutOfDate"},
    }
    sentence = describe(kind("It does not hold.", **more.get(kind, {})))
    assert sentence.startswith("It does not hold; ")
    assert "--simulation" not in sentence


def test_an_os_error_without_a_file_is_its_own_text() -> None:
    assert describe(OSError("cannot listen")) == "cannot listen"


HASHES = {"expected_hash": "", "measured_hash": ""}


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.IdentityError("m", **HASHES), 3),
        (errors.NotAnEnclaveError("m"), 3),
        (errors.SignatureError("m"), 3),
        (errors.SimulationProofError("m"), 3),
        (errors.ProofFormatError("m"), 3),
        (errors.HardwareModeUnsupportedError("m"), 3),
        (errors.TransportError("m", code="UNAVAILABLE"), 4),
        (errors.CloudLookupError("m", code="UNAVAILABLE"), 4),
        (errors.DeadlineExceededError("m"), 4),
        (errors.TransportError("m", code="INTERNAL"), 1),
        (errors.CloudLookupError("m"), 1),
        (errors.ModelNotFoundError("m"), 1),
        (errors.VersionError("m"), 1),
        (errors.TensorError("m"), 1),
        (OperationError("m"), 1),
        (FileNotFoundError(2, "No such file", "x"), 1),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_scripts_can_tell_failures_apart(error: Exception, code: int) -> None:
    assert exit_code_of(raising(error)) == code


@pytest.mark.parametrize(
    ("error", "options", "said", "unsaid"),
    [
        (errors.HardwareModeUnsupportedError("m"), {"--simulation"}, "pass --simulation", ""),
        (errors.HardwareModeUnsupportedError("m"), {"--policy"}, "do not rely", "--simulation"),
        (errors.DeadlineExceededError("m"), {"--timeout"}, "--timeout", ""),
        (errors.DeadlineExceededError("m"), {"--json"}, "check the server", "--timeout"),
        (
            errors.AttestationError("allow_simulation_mode=True accepts that"),
            None,
            "--simulation accepts that",
            "allow_",
        ),
        (
            errors.TensorMismatchError("x: array.astype(numpy.float32)"),
            None,
            "--dtype float32",
            "astype",
        ),
    ],
)
def test_advice_names_the_commands_own_options(
    error: Exception, options: set[str] | None, said: str, unsaid: str
) -> None:
    sentence = describe(error, options)
    assert said in sentence
    assert not unsaid or unsaid not in sentence


def test_a_log_level_is_for_the_packages_log(cli_log: Callable[..., str]) -> None:
    assert "attempt" not in cli_log()
    assert "INFO blindai_async: attempt 1" in cli_log("info")


@pytest.fixture
def cli_log() -> Callable[..., str]:
    """Runs a command that logs, in a process of its own; returns its stderr."""

    def run(level: str = "") -> str:
        script = (
            "import logging\n"
            "from blindai_async.cli.run_command import LogLevel, operation\n"
            "@operation\n"
            "async def command():\n"
            "    logging.getLogger('blindai_async').info('attempt 1')\n"
            f"command(log_level={f'LogLevel({level!r})' if level else None})\n"
        )
        ran = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
        )
        return ran.stderr

    return run
