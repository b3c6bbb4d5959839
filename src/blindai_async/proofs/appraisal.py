"""The outcome of judging a proof: what was checked, what each check found, and the verdict."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, TypeVar

from blindai_async.errors import AttestationError, BlindAIError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from blindai_async.attestation import Claims

__all__ = ["CheckOutcome", "CheckRecorder", "ProofAppraisal", "ProofCheck"]

_Error = TypeVar("_Error", bound=BlindAIError)


class CheckOutcome(StrEnum):
    """How a check of a proof ended."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_REACHED = "not reached"
    NOT_CHECKED = "not checked"


@dataclass(frozen=True, slots=True)
class ProofCheck:
    """The outcome of one check.

    Attributes:
        name: what was checked: "evidence", "policy", "freshness", "signature", "model id", …
        outcome: whether it passed; "not checked" where the caller waived it.
        detail: what it found, in words; "" where it was not reached.
    """

    name: str
    outcome: CheckOutcome
    detail: str = ""


@dataclass(frozen=True, slots=True)
class ProofAppraisal:
    """What `appraise` found about a proof.

    Attributes:
        checks: each check, in the order in which they were made.
        claims: what the evidence proves, or, where it was refused itself, had shown until then;
            None where it was not verified. Of a refused proof they prove the enclave at most.
        error: why the proof was refused; None where it was accepted.
    """

    checks: tuple[ProofCheck, ...]
    claims: Claims | None
    error: BlindAIError | None

    @property
    def accepted(self) -> bool:
        """Whether everything that was demanded holds."""
        return self.error is None

    def require(self) -> Claims | None:
        """Return the claims of an accepted proof.

        Raises:
            BlindAIError: the error that refused it.
        """
        if self.error is not None:
            raise self.error
        return self.claims


class CheckRecorder:
    """Notes the outcome of each check while a proof is judged.

    Args:
        names: of the checks, in order.

    Attributes:
        claims: what the evidence has proven so far.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._checks = {name: ProofCheck(name, CheckOutcome.NOT_REACHED) for name in names}
        self.claims: Claims | None = None

    def note(self, name: str, outcome: CheckOutcome, detail: str) -> None:
        """Note how a check ended."""
        self._checks[name] = ProofCheck(name, outcome, detail)

    def failed(self, name: str, error: _Error) -> _Error:
        """Note that a check failed; returns its error, to be raised."""
        self.note(name, CheckOutcome.FAILED, str(error))
        return error

    @contextmanager
    def check(self, name: str, detail: str) -> Iterator[None]:
        """Note that the check in the body passed, with `detail`, or failed, with its error."""
        try:
            yield
        except BlindAIError as error:
            self.failed(name, error)
            raise
        self.note(name, CheckOutcome.PASSED, detail)

    def appraisal(self, error: BlindAIError | None = None) -> ProofAppraisal:
        """All outcomes together, with what ended the judgement where something did."""
        claims = error.claims if isinstance(error, AttestationError) else self.claims
        return ProofAppraisal(tuple(self._checks.values()), claims, error)
