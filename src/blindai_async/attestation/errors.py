"""The errors of evidence that is not acceptable; `blindai_async.errors` shows them all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from blindai_async._base_errors import BlindAIError, SignatureError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from blindai_async.attestation.claims import Claims
    from blindai_async.attestation.policy import Policy

__all__ = [
    "AttestationError",
    "DebugNotAllowedError",
    "EnclaveHeldDataError",
    "IdentityError",
    "NotAnEnclaveError",
    "QuoteValidationError",
    "SimulationProofError",
    "TcbStatusError",
]


class AttestationError(BlindAIError):
    """The enclave's evidence was refused.

    Attributes:
        claims: what the evidence had proven before it was refused, or None.
        policy: the policy that refused it, or None where the evidence itself did not hold.
    """

    def __init__(
        self, message: str, *, claims: Claims | None = None, policy: Policy | None = None
    ) -> None:
        super().__init__(message)
        self.claims = claims
        self.policy = policy


class IdentityError(AttestationError):
    """The enclave or trust domain has another measurement than the policy names.

    Attributes:
        expected_hash: the policy's, hex (of SGX an MRENCLAVE or MRSIGNER, of TDX an MRTD, RTMR or
            another one; the message says which); several, where the policy allows several.
        measured_hash: the measured one, hex.
    """

    def __init__(
        self,
        message: str,
        *,
        expected_hash: str,
        measured_hash: str,
        claims: Claims | None = None,
        policy: Policy | None = None,
    ) -> None:
        super().__init__(message, claims=claims, policy=policy)
        self.expected_hash = expected_hash
        self.measured_hash = measured_hash


class DebugNotAllowedError(AttestationError):
    """It runs in debug mode, in which its host reads its memory at will."""


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
        claims: Claims | None = None,
        policy: Policy | None = None,
    ) -> None:
        super().__init__(message, claims=claims, policy=policy)
        self.step = step


class NotAnEnclaveError(QuoteValidationError):
    """The evidence does not lead back to the hardware's root of trust."""


class EnclaveHeldDataError(QuoteValidationError):
    """The quote was made for other data than the certificate that came with it.

    Attributes:
        expected_hash: what the quote's report data binds, hex: by default a SHA-256.
        measured_hash: what the enclave held data that came would be bound by, hex.
    """

    def __init__(
        self,
        message: str,
        *,
        expected_hash: str,
        measured_hash: str,
        step: int = 12,
        claims: Claims | None = None,
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
        claims: Claims | None = None,
        policy: Policy | None = None,
    ) -> None:
        super().__init__(message, step=step, claims=claims, policy=policy)
        self.status = status
        self.advisory_ids: tuple[str, ...] = tuple(advisory_ids)


class SimulationProofError(AttestationError, SignatureError):
    """A kept response came without evidence: a server in simulation mode gave it."""
