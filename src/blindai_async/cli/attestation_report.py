"""What is known about an enclave or a proof, and the verdict: as text, and for machines."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from blindai_async.attestation import (
    IDENTIFIES_MACHINE,
    INTEL_SGX_ROOT,
    Claims,
    StepReport,
)
from blindai_async.cli.advice import describe, in_options
from blindai_async.cli.answer import Answer
from blindai_async.cli.evidence_facts import evidence_facts, platform_facts
from blindai_async.errors import AttestationError, BlindAIError
from blindai_async.proofs import CheckOutcome, ProofCheck

__all__ = ["AttestationReport"]


@dataclass(frozen=True)
class AttestationReport:
    """The outcome of one attestation, or of judging one proof.

    Attributes:
        subject: what was judged: a server or a file.
        at: the time that it was judged at.
        policy: which policy judged, in words.
        claims: what was proven, or, where `proven` is False, only read; None where nothing was.
        refusal: what ended it; None where everything was accepted.
        checks: of a proof, in their order; of a server there are the steps and the policy alone.
        answer: what a proof shows; None for a server.
        collateral: where the collateral came from, in words; "" where that is not known.
        show_platform: whether to show what identifies the machine.
    """

    subject: str
    at: datetime
    policy: str
    claims: Claims | None
    refusal: BlindAIError | None = None
    checks: tuple[ProofCheck, ...] = ()
    answer: Answer | None = None
    collateral: str = ""
    show_platform: bool = False

    @classmethod
    def refused(
        cls,
        subject: str,
        at: datetime,
        policy: str,
        refusal: BlindAIError,
        *,
        collateral: str = "",
        show_platform: bool = False,
    ) -> "AttestationReport":
        """The report of an attestation that an error ended, with the claims that it carries."""
        claims = refusal.claims if isinstance(refusal, AttestationError) else None
        return cls(
            subject,
            at,
            policy,
            claims,
            refusal,
            collateral=collateral,
            show_platform=show_platform,
        )

    @property
    def proven(self) -> bool:
        """Whether the evidence held; the policy may still have refused what it proves."""
        return self.claims is not None and self.claims.verified

    @property
    def intels_root(self) -> bool:
        """Whether the evidence was judged under Intel's root of trust."""
        return self.claims is not None and self.claims.trust_root == INTEL_SGX_ROOT.name

    @property
    def verdict(self) -> str:
        """The outcome in one sentence."""
        if self.refusal is None and self.claims is None:
            return "accepted WITHOUT EVIDENCE: nothing proves that an enclave is behind it"
        if self.refusal is None and not self.intels_root:
            return "accepted UNDER A ROOT THAT IS NOT INTEL'S: it proves nothing about hardware"
        if self.refusal is None:
            return "accepted"
        return f"REFUSED ({type(self.refusal).__name__}): {describe(self.refusal)}"

    @property
    def steps(self) -> tuple[StepReport, ...]:
        """The outcome of each step of the verification; empty where there was nothing to verify."""
        return () if self.claims is None else self.claims.steps

    @property
    def policy_check(self) -> ProofCheck:
        """What the policy made of what the steps proved: evidence that holds may be another's."""
        for check in self.checks:
            if check.name == "policy":
                return check
        if not self.proven:
            return ProofCheck("policy", CheckOutcome.NOT_REACHED)
        if self.refusal is None:
            found = "the enclave is one that the policy accepts"
            return ProofCheck("policy", CheckOutcome.PASSED, found)
        if isinstance(self.refusal, AttestationError):
            return ProofCheck("policy", CheckOutcome.FAILED, str(self.refusal))
        return ProofCheck("policy", CheckOutcome.PASSED)

    def facts(self) -> list[tuple[str, str]]:
        """What the evidence says, as labels and values."""
        claims = self.claims
        if claims is None:
            return []
        machine = platform_facts(claims) if self.show_platform else []
        return evidence_facts(claims, self.collateral) + machine

    def lines(self) -> list[str]:
        """The report as plain text."""
        head = [
            f"subject      {self.subject}",
            f"judged at    {self.at:%Y-%m-%d %H:%M:%S} UTC",
            f"policy       {self.policy}",
            f"verdict      {self.verdict}",
        ]
        answer = [] if self.answer is None else [f"{k:<12} {v}" for k, v in self.answer.facts()]
        if answer and self.refusal is not None:
            answer.insert(0, "what follows is what the file says, and is UNPROVEN")
        checks = [_row(check) for check in self.checks]
        steps = [line for step in self.steps for line in _step_rows(step)]
        if steps:
            steps.append(f"   {self.policy_check.outcome:<12} Policy")
        facts = [f"{label:<12} {value}" for label, value in self.facts()]
        if facts and not self.proven:
            facts.insert(
                0, "what follows was read from evidence that does not hold, and is UNPROVEN"
            )
        parts = (head, answer, checks, steps, facts)
        return [line for part in parts if part for line in ("", *part)][1:]

    def as_json(self) -> dict[str, Any]:
        """The report for machines."""
        claims = (
            None
            if self.claims is None
            else self.claims.model_dump(
                mode="json", exclude=None if self.show_platform else IDENTIFIES_MACHINE
            )
        )
        error = None
        if self.refusal is not None:
            error = {"class": type(self.refusal).__name__, "message": str(self.refusal)}
        checks = self.checks or (self.policy_check,)
        return {
            "subject": self.subject,
            "judged_at": self.at.isoformat(),
            "policy": self.policy,
            "accepted": self.refusal is None,
            "proven": self.proven,
            "intels_root": self.intels_root,
            "error": error,
            "answer": None if self.answer is None else self.answer.as_json(),
            "checks": [
                {"name": check.name, "outcome": str(check.outcome), "detail": check.detail}
                for check in checks
            ],
            "collateral": self.collateral,
            "claims": claims,
        }


def _step_rows(step: StepReport) -> list[str]:
    parts = [f"{'':<15} {part.name}: {part.detail}" for part in step.parts]
    return [f"{step.number:>2} {step.outcome:<12} {step.name}", *parts]


def _row(check: ProofCheck) -> str:
    return f"{check.name:<12} {check.outcome:<12} {in_options(check.detail)}".rstrip()
