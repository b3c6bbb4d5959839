"""What the steps of one verification have found so far, and the claims that are made of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

from blindai_async.attestation.claims import DEBUG_FLAG, STEPS, DcapClaims, Outcome, StepReport
from blindai_async.attestation.errors import NotAnEnclaveError, QuoteValidationError

if TYPE_CHECKING:
    from datetime import datetime

    from blindai_async.attestation.dcap.collateral import QeIdentity, TcbInfo
    from blindai_async.attestation.dcap.pck import PckExtension
    from blindai_async.attestation.dcap.quote import ReportBody
    from blindai_async.attestation.dcap.tcb import PlatformTcbLevel, QeTcbLevel, TcbStatus
    from blindai_async.attestation.parsing import EvidenceError
    from blindai_async.attestation.x509.certificates import Certificate
    from blindai_async.attestation.x509.trust_root import TrustRoot

__all__ = ["Progress", "TcbVerdict", "VerifiedCollateral"]

_CERTIFICATE_STEPS: Final = frozenset({2, 3, 4})
"""Where they fail, the evidence does not lead back to the root of trust."""


@dataclass(frozen=True, slots=True)
class VerifiedCollateral:
    """What steps 2 to 6 have established: all that does not depend on the quote's own signatures.

    Attributes:
        pck: the platform's certificate.
        platform: what it certifies.
        tcb_info: signed, current, and of this platform.
        qe_identity: signed and current.
        valid_from: the latest start of the windows of all parts.
        valid_until: the earliest end of them.
        reports: of these steps.
    """

    pck: Certificate
    platform: PckExtension
    tcb_info: TcbInfo
    qe_identity: QeIdentity
    valid_from: datetime
    valid_until: datetime
    reports: tuple[StepReport, ...]


@dataclass(frozen=True, slots=True)
class TcbVerdict:
    """The merged status of step 11."""

    status: TcbStatus
    date: datetime
    advisory_ids: tuple[str, ...]

    @classmethod
    def of(cls, status: TcbStatus, platform: PlatformTcbLevel, qe: QeTcbLevel) -> Self:
        """Join what the two matching levels say beside their statuses."""
        advisories = {*platform.advisory_ids, *qe.advisory_ids}
        return cls(status, platform.date, tuple(sorted(advisories)))


class Progress:
    """The claims of one verification in the making.

    Attributes:
        reports: of the steps that have passed, in order.
        report: the enclave's report, once the quote has been parsed.
        platform: what the PCK certificate certifies, once step 3 has passed.
        verdict: what step 11 has established.
    """

    def __init__(self, trust_root: TrustRoot, enclave_held_data: bytes) -> None:
        self._trust_root = trust_root
        self._enclave_held_data = enclave_held_data
        self.reports: list[StepReport] = []
        self.report: ReportBody | None = None
        self.platform: PckExtension | None = None
        self.verdict: TcbVerdict | None = None
        self._validity: tuple[datetime, datetime] | None = None

    def passed(self, detail: str) -> None:
        """Note that the next step has passed, and what it found."""
        number = len(self.reports) + 1
        self.reports.append(StepReport(number, STEPS[number - 1], Outcome.PASSED, detail))

    def adopt(self, collateral: VerifiedCollateral) -> None:
        """Take over what steps 2 to 6 have established, here or in an earlier verification."""
        self.reports[1:] = collateral.reports
        self.platform = collateral.platform
        self._validity = collateral.valid_from, collateral.valid_until

    def claims(self, failure: QuoteValidationError | None = None) -> DcapClaims | None:
        """Make the claims known so far; None where not even the quote could be parsed."""
        if self.report is None:
            return None
        report = self.report
        fields: dict[str, Any] = {}
        if self.platform is not None:
            fields["fmspc"] = self.platform.fmspc
        if self._validity is not None:
            fields["valid_from"], fields["valid_until"] = self._validity
        if self.verdict is not None:
            fields.update(
                tcb_status=self.verdict.status,
                tcb_date=self.verdict.date,
                advisory_ids=self.verdict.advisory_ids,
            )
        return DcapClaims(
            mr_enclave=report.mr_enclave,
            mr_signer=report.mr_signer,
            isv_prod_id=report.isv_prod_id,
            isv_svn=report.isv_svn,
            attributes=report.attributes,
            misc_select=report.misc_select,
            debug=bool(report.attributes[0] & DEBUG_FLAG),
            report_data=report.report_data,
            enclave_held_data=self._enclave_held_data,
            trust_root=self._trust_root.name,
            steps=self._steps(failure),
            **fields,
        )

    def failure(self, cause: EvidenceError) -> QuoteValidationError:
        """Make the error of the step that is under way, the one after those that have passed."""
        number = len(self.reports) + 1
        error = NotAnEnclaveError if number in _CERTIFICATE_STEPS else QuoteValidationError
        return error(f"{STEPS[number - 1]} (step {number}): {cause}", step=number)

    def proven_claims(self) -> DcapClaims:
        """Make the claims after the last step.

        Raises:
            QuoteValidationError: a step is missing. That would be a defect of this package, and
                must not pass for a proof.
        """
        claims = self.claims()
        if claims is None or not claims.verified:
            raise QuoteValidationError("The verification did not take all of its steps")
        return claims

    def _steps(self, failure: QuoteValidationError | None) -> tuple[StepReport, ...]:
        if failure is None:
            return tuple(self.reports)
        failed = failure.step
        return (
            *self.reports[: failed - 1],
            StepReport(failed, STEPS[failed - 1], Outcome.FAILED, str(failure)),
            *(
                StepReport(number, STEPS[number - 1], Outcome.NOT_REACHED)
                for number in range(failed + 1, len(STEPS) + 1)
            ),
        )
