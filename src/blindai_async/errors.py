"""Every exception and warning of the package.

::

    BlindAIError
    ├── AttestationError                 the evidence, or what it shows, is not acceptable
    │   ├── IdentityError                  another enclave than the policy's
    │   ├── DebugNotAllowedError           a debug enclave, whose memory its host can read
    │   └── QuoteValidationError           the evidence itself does not hold
    │       ├── NotAnEnclaveError            it does not lead to the hardware's root of trust
    │       ├── EnclaveHeldDataError         the quote was made for another certificate
    │       └── TcbStatusError               the platform's patch level is not accepted
    ├── SignatureError                   a signed answer is another one, or not the enclave's
    ├── ProofFormatError                 (ValueError) not a proof file, or a truncated one
    ├── HardwareModeUnsupportedError     evidence was asked of a simulation server
    ├── VersionError                     a server version this client does not speak
    ├── TransportError                   (ConnectionError) the call did not reach a proper answer
    │   ├── DeadlineExceededError          (TimeoutError)
    │   ├── RequestRejectedError           the server answered, and said no
    │   └── CloudLookupError               the enclave's address could not be looked up
    ├── ConnectionClosedError            (ValueError) the connection is closed, or was never opened
    ├── TensorError                      (ValueError) an input that has no place on the wire
    └── PolicyFormatError                (ValueError) a policy file that cannot be read

    SecurityWarning (UserWarning)
    ├── SimulationModeWarning            nothing proves that the peer is an enclave
    ├── UnverifiedHostWarning            the host's certificate was taken from the network
    └── UntrustedRootWarning             evidence is judged under a root that is not Intel's

    BatchingWarning (UserWarning)        a model's rows depend on each other: its calls go alone

The builtin bases let existing code go on working: ``except ConnectionError``, ``except ValueError``
and ``except TimeoutError`` catch what their names say. A missing policy, certificate or model file
is the builtin ``FileNotFoundError``. Every error can be pickled, with all its attributes.
"""

from __future__ import annotations

import builtins
import copy
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from blindai_async.attestation import DcapClaims, Policy

__all__ = [
    "AttestationError",
    "BatchingWarning",
    "BlindAIError",
    "CloudLookupError",
    "ConnectionClosedError",
    "DeadlineExceededError",
    "DebugNotAllowedError",
    "EnclaveHeldDataError",
    "HardwareModeUnsupportedError",
    "IdentityError",
    "NotAnEnclaveError",
    "PolicyFormatError",
    "ProofFormatError",
    "QuoteValidationError",
    "RequestRejectedError",
    "SecurityWarning",
    "SignatureError",
    "SimulationModeWarning",
    "TcbStatusError",
    "TensorError",
    "TransportError",
    "UntrustedRootWarning",
    "UnverifiedHostWarning",
    "VersionError",
]


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


class AttestationError(BlindAIError):
    """The enclave's evidence was refused.

    Attributes:
        claims: what the evidence had proven before it was refused, or None.
        policy: the policy that refused it, or None where the evidence itself did not hold.
    """

    def __init__(
        self, message: str, *, claims: DcapClaims | None = None, policy: Policy | None = None
    ) -> None:
        super().__init__(message)
        self.claims = claims
        self.policy = policy


class IdentityError(AttestationError):
    """The enclave runs other code than the policy names.

    Attributes:
        expected_hash: the policy's MRENCLAVE (or MRSIGNER), hex.
        measured_hash: the enclave's, hex.
    """

    def __init__(
        self,
        message: str,
        *,
        expected_hash: str,
        measured_hash: str,
        claims: DcapClaims | None = None,
        policy: Policy | None = None,
    ) -> None:
        super().__init__(message, claims=claims, policy=policy)
        self.expected_hash = expected_hash
        self.measured_hash = measured_hash


class DebugNotAllowedError(AttestationError):
    """The enclave was started in debug mode, in which its host reads its memory at will."""


class QuoteValidationError(AttestationError):
    """The evidence does not hold.

    Attributes:
        step: the number of the verification step that failed, 1 to 12 (see
            `blindai_async.attestation.verify_dcap_attestation`), 0 where it was none of them.
    """

    def __init__(
        self,
        message: str,
        *,
        step: int = 0,
        claims: DcapClaims | None = None,
        policy: Policy | None = None,
    ) -> None:
        super().__init__(message, claims=claims, policy=policy)
        self.step = step


class NotAnEnclaveError(QuoteValidationError):
    """The evidence does not lead back to the hardware's root of trust."""


class EnclaveHeldDataError(QuoteValidationError):
    """The quote was made for other data than the certificate that came with it.

    Attributes:
        expected_hash: the SHA-256 that the quote's report data holds, hex.
        measured_hash: the SHA-256 of the enclave held data that came, hex.
    """

    def __init__(
        self,
        message: str,
        *,
        expected_hash: str,
        measured_hash: str,
        step: int = 12,
        claims: DcapClaims | None = None,
        policy: Policy | None = None,
    ) -> None:
        super().__init__(message, step=step, claims=claims, policy=policy)
        self.expected_hash = expected_hash
        self.measured_hash = measured_hash


class TcbStatusError(QuoteValidationError):
    """The platform's patch level (its TCB status) is not one that the policy accepts.

    Attributes:
        status: the merged status, as Intel's collateral spells it (``"OutOfDate"``).
        advisory_ids: the Intel security advisories that apply to the platform.
    """

    def __init__(
        self,
        message: str,
        *,
        status: str,
        advisory_ids: Sequence[str] = (),
        step: int = 11,
        claims: DcapClaims | None = None,
        policy: Policy | None = None,
    ) -> None:
        super().__init__(message, step=step, claims=claims, policy=policy)
        self.status = status
        self.advisory_ids = tuple(advisory_ids)


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


class CloudLookupError(TransportError):
    """The cloud service did not tell where the enclave for this API key is."""


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


def own_instance(error: BaseException) -> BaseException:
    """Copy an error for one of several callers that it concerns.

    Each adds its own traceback to what it raises: no two may be given the same.
    """
    if not isinstance(error, BlindAIError):
        return error
    own = copy.copy(error)
    own.__cause__ = error
    return own
