"""The errors and warnings without attestation types; `blindai_async.errors` shows all of them."""

from __future__ import annotations

import builtins
import copy
from typing import Any


def _rebuild(cls: type[BlindAIError], args: tuple[Any, ...], state: dict[str, Any]) -> BlindAIError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class BlindAIError(Exception):
    """The base of every error that this package raises on its own account."""

    def __reduce__(self) -> tuple[Any, ...]:
        # Exception's own way calls cls(*args), which fails where attributes are keyword-only.
        return _rebuild, (type(self), self.args, self.__dict__)


class SignatureError(BlindAIError):
    """A signed answer is not the enclave's, or does not answer what was asked."""


class ProofFormatError(BlindAIError, ValueError):
    """The bytes are not a proof, or a proof of another kind."""


class HardwareModeUnsupportedError(BlindAIError):
    """Hardware mode was asked of a server that has no evidence to give (simulation mode)."""


class VersionError(BlindAIError):
    """The server's version is not one that this client supports (0.5.x).

    Attributes:
        server_version: what the server said it is.
    """

    def __init__(self, message: str, *, server_version: str = "") -> None:
        super().__init__(message)
        self.server_version = server_version


class TransportError(BlindAIError, builtins.ConnectionError):
    """A call that did not come to a proper answer.

    Attributes:
        code: the gRPC status code's name (``"UNAVAILABLE"``), or "" where gRPC was not involved.
        details: what the peer or gRPC said. Text from outside: never trust it.
    """

    def __init__(self, message: str, *, code: str = "", details: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.details = details


class DeadlineExceededError(TransportError, TimeoutError):
    """No answer came within the deadline (see `Timeouts` and the calls' ``timeout=``)."""


class RequestRejectedError(TransportError):
    """The server received the request and refused it; sending it again will not help."""


class ModelNotFoundError(RequestRejectedError):
    """The server has no model of this id: never uploaded, deleted, or lost in a restart."""


class TensorMismatchError(RequestRejectedError):
    """The inputs do not fit the model: their number, dtypes or shapes are others."""


class CloudLookupError(TransportError):
    """The cloud service did not tell where the enclave for this API key is."""


class CollateralError(TransportError):
    """Fresh collateral could not be had: nobody answered, or with something else.

    Attributes:
        url: what was asked, without what identifies a machine; or the file that was read.
        status: the HTTP status of the answer, 0 where there was none.
    """

    def __init__(
        self, message: str, *, url: str = "", status: int = 0, code: str = "", details: str = ""
    ) -> None:
        super().__init__(message, code=code, details=details)
        self.url = url
        self.status = status


class ConnectionClosedError(BlindAIError, ValueError):
    """The connection is closed, or was not opened yet."""


class TensorError(BlindAIError, ValueError):
    """A tensor that cannot be sent, or one whose bytes do not fit its shape and dtype."""


class PolicyFormatError(BlindAIError, ValueError):
    """A policy that cannot be read.

    Attributes:
        key: the offending key, or "" where the text as a whole is not a policy.
    """

    def __init__(self, message: str, *, key: str = "") -> None:
        super().__init__(message)
        self.key = key


class SecurityWarning(UserWarning):
    """The base of the warnings about protection that is missing."""


class SimulationModeWarning(SecurityWarning):
    """Simulation mode: nothing proves that the peer is an enclave."""


class UnverifiedHostWarning(SecurityWarning):
    """The untrusted port's certificate was taken from the network, unchecked."""


class UntrustedRootWarning(SecurityWarning):
    """Evidence is judged under a root of trust that is not Intel's."""


class BatchingWarning(UserWarning):
    """The rows of a model depend on each other, so that its calls are no longer joined."""


def deadline_exceeded(what: str, seconds: float, *reasons: str) -> DeadlineExceededError:
    """The error for an operation that was not done in time.

    Args:
        what: the operation.
        seconds: how long it had.
        reasons: what it waited for, as far as that is known; "" is left out.
    """
    text = "; ".join((f"{what}: not done within {seconds:g} s", *filter(None, reasons)))
    return DeadlineExceededError(text, code="DEADLINE_EXCEEDED")


def own_instance(error: BaseException) -> BaseException:
    """Copy an error for one of several callers that it concerns.

    Each adds its own traceback to what it raises: no two may be given the same.
    """
    if not isinstance(error, BlindAIError):
        return error
    own = copy.copy(error)
    own.__cause__ = error
    return own
