"""What a failure means to the command line: one sentence with what to do, and an exit code."""

from collections.abc import Collection
from typing import Final

from blindai_async.errors import (
    AttestationError,
    BlindAIError,
    CloudLookupError,
    CollateralError,
    DeadlineExceededError,
    DebugNotAllowedError,
    HardwareModeUnsupportedError,
    IdentityError,
    ModelNotFoundError,
    NotAnEnclaveError,
    ProofFormatError,
    RequestRejectedError,
    SignatureError,
    TcbStatusError,
    TransportError,
    VersionError,
)

__all__ = ["FAILED", "INTERRUPTED", "REFUSED", "UNREACHABLE", "describe", "exit_code", "in_options"]

FAILED: Final = 1
REFUSED: Final = 3
UNREACHABLE: Final = 4
INTERRUPTED: Final = 130

_ROOT_STEP = 2

_ADVICE: tuple[tuple[type[BlindAIError], str, str], ...] = (
    (IdentityError, "", "do not rely on it; an updated enclave's new policy comes from its owner"),
    (DebugNotAllowedError, "", "do not rely on it: its host can read its memory"),
    (TcbStatusError, "", "have the platform updated, or accept the status in the policy"),
    (AttestationError, "", "do not rely on it"),
    (SignatureError, "", "do not rely on it"),
    (
        HardwareModeUnsupportedError,
        "--simulation",
        "pass --simulation where unproven protection will do",
    ),
    (HardwareModeUnsupportedError, "", "nothing can be proven of it: do not rely on it"),
    (VersionError, "", "use a server of version 0.5"),
    (DeadlineExceededError, "--timeout", "check the server, or allow more time with --timeout"),
    (DeadlineExceededError, "", "check the server"),
    (CloudLookupError, "", "check BLINDAI_API_KEY"),
    (CollateralError, "", ""),
    (ModelNotFoundError, "", "upload the model, and use the id that upload prints"),
    (RequestRejectedError, "", ""),
    (TransportError, "--attested-port", "check that the server runs, its address and its ports"),
    (TransportError, "", ""),
)
"""What to do about an error. The first entry counts that fits and whose option, if it names one,
the command has."""

_IN_OTHER_WORDS = (
    ("allow_simulation_mode=True", "--simulation"),
    ("pass enclave_signing_key=", "pass --signing-key"),
    ("array.astype(numpy.float32)", "convert them with --dtype float32"),
    ("pass an api_key", "set BLINDAI_API_KEY"),
    ("it may need an api_key", "it may need BLINDAI_API_KEY"),
    ("; see max_reply_bytes", ""),
    ("pass dtype=", "pass --dtype"),
)
"""What the library's messages advise, in the command line's own options."""


def in_options(text: str) -> str:
    """The library's words, with the command line's options in the place of its parameters."""
    for keyword, option in _IN_OTHER_WORDS:
        text = text.replace(keyword, option)
    return text


def exit_code(error: Exception) -> int:
    """The exit code of a failure: refused evidence or proofs, nobody there, or anything else."""
    refused = AttestationError, SignatureError, ProofFormatError, HardwareModeUnsupportedError
    if isinstance(error, refused):
        return REFUSED
    if isinstance(error, DeadlineExceededError):
        return UNREACHABLE
    if isinstance(error, CollateralError):
        return FAILED if error.status else UNREACHABLE
    if isinstance(error, TransportError) and error.code == "UNAVAILABLE":
        return UNREACHABLE
    return FAILED


def describe(error: Exception, options: Collection[str] | None = None) -> str:
    """An error in one sentence: what failed, and what to do about it.

    Args:
        error: what ended the command.
        options: those that the command has, such as ``--timeout``; all of them where None.
    """
    if isinstance(error, OSError) and not isinstance(error, BlindAIError):
        return f"{error.filename}: {error.strerror}" if error.filename else str(error)
    text = in_options(str(error))
    advice = next(
        (
            advice
            for kind, option, advice in _ADVICE
            if isinstance(error, kind) and (not option or options is None or option in options)
        ),
        "",
    )
    if isinstance(error, NotAnEnclaveError) and error.step == _ROOT_STEP:
        advice += ", unless it is an emulated platform: then name its root with --root"
    return f"{text.rstrip('.')}; {advice}" if advice else text
