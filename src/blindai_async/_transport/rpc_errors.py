"""gRPC's errors -> the package's: the only place where they are mapped."""

from __future__ import annotations

import re
from asyncio import CancelledError
from typing import TYPE_CHECKING, TypeVar

import grpc
from grpc.aio import AioRpcError, Metadata

from blindai_async._base_errors import (
    DeadlineExceededError,
    ModelNotFoundError,
    RequestRejectedError,
    TensorMismatchError,
    TransportError,
)
from blindai_async._printable import printable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

_Error = TypeVar("_Error", bound=BaseException)

_Code = grpc.StatusCode

# What the server decided: the same request will be answered in the same way.
_REJECTIONS = frozenset(
    {
        _Code.INVALID_ARGUMENT,
        _Code.NOT_FOUND,
        _Code.ALREADY_EXISTS,
        _Code.PERMISSION_DENIED,
        _Code.UNAUTHENTICATED,
        _Code.FAILED_PRECONDITION,
        _Code.OUT_OF_RANGE,
        _Code.UNIMPLEMENTED,
        _Code.UNKNOWN,
    }
)

# How 0.5 servers, and the one that comes with this package, word the refusals that callers treat
# differently: the statuses are shared with other refusals, so that the text has to tell them apart.
_NO_MODEL = re.compile(r"\AModel doesn't exist")
_NO_FIT = re.compile(r"\A(Incompatible tensor input\b|Tensor serialization error)")
_REFUSALS: tuple[tuple[frozenset[_Code], re.Pattern[str], type[RequestRejectedError]], ...] = (
    (frozenset({_Code.INVALID_ARGUMENT, _Code.NOT_FOUND}), _NO_MODEL, ModelNotFoundError),
    (frozenset({_Code.INVALID_ARGUMENT, _Code.UNKNOWN}), _NO_FIT, TensorMismatchError),
)

_REFUSAL_HINTS: dict[type[TransportError], str] = {
    TensorMismatchError: (
        "dtype and shape have to be the model's; NumPy's floats are float64, and most models take "
        "float32: array.astype(numpy.float32)"
    ),
}

_HINTS = {
    _Code.UNAVAILABLE: (
        "is the server running at this address, and is it still the same enclave? "
        "A restarted one has a new certificate"
    ),
    _Code.RESOURCE_EXHAUSTED: "a message was larger than one side allows; see max_reply_bytes",
    _Code.UNIMPLEMENTED: "is this a BlindAI server, and are its two ports not swapped?",
    _Code.PERMISSION_DENIED: "the server does not allow this; it may need an api_key",
    _Code.UNAUTHENTICATED: "the server wants to know who asks: pass an api_key",
}


def from_rpc_error(error: AioRpcError, what: str, secrets: Sequence[str] = ()) -> TransportError:
    """Map the error that ended a call.

    Args:
        error: as gRPC raised it.
        what: the call, as a person would name it: "predict", "upload_model".
        secrets: what the peer was told and may repeat, but must not be shown.
    """
    code = error.code()
    details = _shown(error.details(), secrets)
    said = f": {details}" if details else ""
    kind = _kind(code, details)
    advice = _REFUSAL_HINTS.get(kind, _HINTS.get(code, ""))
    hint = f" ({advice})" if advice else ""
    return kind(f"{what}: {code.name}{said}{hint}", code=code.name, details=details)


def _kind(code: grpc.StatusCode, details: str) -> type[TransportError]:
    if code is _Code.DEADLINE_EXCEEDED:
        return DeadlineExceededError
    if code not in _REJECTIONS:
        return TransportError
    for codes, text, kind in _REFUSALS:
        if code in codes and text.match(details):
            return kind
    return RequestRejectedError


class MappedErrors:
    """A context in which the package's errors take the place of gRPC's.

    Args:
        what: see `from_rpc_error`; so are the `secrets`.
        secrets: what must not be shown.
    """

    __slots__ = ("_secrets", "_what")

    def __init__(self, what: str, secrets: Sequence[str] = ()) -> None:
        self._what = what
        self._secrets = secrets

    def __enter__(self) -> None:
        """Nothing is done before there is an error."""

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        del traceback  # this frame will be a part of the error's own, see `without_frames`
        if isinstance(exc, AioRpcError):
            mapped = from_rpc_error(exc, self._what, self._secrets)
            cause = presentable(without_frames(exc), self._secrets)
            del exc  # a traceback that shows variables would show the peer's text as it came
            raise mapped from cause
        if isinstance(exc, CancelledError):  # passes as it is
            without_frames(exc)


def without_frames(error: _Error) -> _Error:
    """Take from an error of gRPC's what it knows of the call that it ended; returns the error.

    The frames hold the call, and a call, even one that is done, keeps its channel connecting anew
    after it was closed: for as long as somebody keeps the error.
    """
    error.__context__ = None
    return error.with_traceback(None)


def presentable(error: AioRpcError, secrets: Sequence[str] = ()) -> AioRpcError:
    """Make an error fit to be another one's cause: a traceback prints the text of both.

    Args:
        error: as gRPC raised it, with the peer's text as it came.
        secrets: see `from_rpc_error`.
    """
    return AioRpcError(
        error.code(),
        Metadata(),
        Metadata(),
        details=_shown(error.details(), secrets),
        debug_error_string=_shown(error.debug_error_string(), secrets),
    )


def _shown(text: str | None, secrets: Sequence[str]) -> str:
    text = text or ""
    for secret in secrets:
        text = text.replace(secret, "**********")
    return printable(text)
