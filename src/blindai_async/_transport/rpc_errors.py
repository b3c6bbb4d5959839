"""gRPC's errors -> the package's: the only place where they are mapped."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc

from blindai_async.errors import DeadlineExceededError, RequestRejectedError, TransportError

if TYPE_CHECKING:
    from grpc.aio import AioRpcError

__all__ = ["from_rpc_error", "printable"]

_MAX_DETAILS = 500

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


def from_rpc_error(error: AioRpcError, what: str) -> TransportError:
    """Map the error that ended a call.

    Args:
        error: as gRPC raised it.
        what: the call, as a person would name it: "predict", "upload_model".
    """
    code = error.code()
    details = printable(error.details() or "")
    said = f": {details}" if details else ""
    hint = f" ({_HINTS[code]})" if code in _HINTS else ""
    message = f"{what}: {code.name}{said}{hint}"
    if code is _Code.DEADLINE_EXCEEDED:
        return DeadlineExceededError(message, code=code.name, details=details)
    if code in _REJECTIONS:
        return RequestRejectedError(message, code=code.name, details=details)
    return TransportError(message, code=code.name, details=details)


def printable(text: str, limit: int = _MAX_DETAILS) -> str:
    """Cut text from a peer down to what may stand in a log: no control characters, not too long.

    A hostile peer could otherwise forge log lines or drive a terminal.
    """
    shown = "".join(c if c.isprintable() else " " for c in text[: limit + 1])
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"
