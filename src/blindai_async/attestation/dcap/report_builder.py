"""What the steps of one verification have found so far, and the claims that are made of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from blindai_async.attestation.claims import (
    STEPS,
    Claims,
    Outcome,
    Platform,
    SgxClaims,
    SgxType,
    StepPart,
    StepReport,
    TdxClaims,
)
from blindai_async.attestation.dcap.reports import ReportBody
from blindai_async.attestation.errors import NotAnEnclaveError, QuoteValidationError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from blindai_async.attestation.dcap.pck import PckExtension
    from blindai_async.attestation.dcap.qe_identity import QeIdentity
    from blindai_async.attestation.dcap.reports import Report, TdReport
    from blindai_async.attestation.dcap.tcb import IsvSvnLevel, PlatformTcbLevel
    from blindai_async.attestation.dcap.tcb_info import TcbInfo
    from blindai_async.attestation.parsing import EvidenceError
    from blindai_async.attestation.tcb_status import TcbStatus
    from blindai_async.attestation.tee import Tee
    from blindai_async.attestation.x509.certificates import Certificate
    from blindai_async.attestation.x509.trust_root import TrustRoot

__all__ = ["Progress", "TcbVerdict", "VerifiedCollateral"]

_SGX_DEBUG: Final = 0x02
_TD_DEBUG: Final = 0x01
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

    @property
    def evaluation_number(self) -> int:
        """The lower of the two evaluation numbers: they differ while Intel rolls one out."""
        return min(self.tcb_info.evaluation_number, self.qe_identity.evaluation_number)


@dataclass(frozen=True, slots=True)
class TcbVerdict:
    """The merged status of step 11, the earliest date, and the advisories of all levels."""

    status: TcbStatus
    date: datetime
    advisory_ids: tuple[str, ...]

    @classmethod
    def of(cls, status: TcbStatus, *levels: PlatformTcbLevel | IsvSvnLevel) -> TcbVerdict:
        """Join what the matching levels say beside their statuses."""
        advisories = {one for level in levels for one in level.advisory_ids}
        return cls(status, min(level.date for level in levels), tuple(sorted(advisories)))


class Progress:
    """The claims of one verification in the making.

    Attributes:
        reports: of the steps that have passed, in order.
        tee: the kind, once it has been read.
        report: the report of the enclave or TD, once the quote has been parsed.
        platform: what the PCK certificate certifies, once step 3 has passed.
        verdict: what step 11 has established.
        fresh: whether the quote was made for the verifier's nonce.
    """

    def __init__(self, trust_root: TrustRoot, enclave_held_data: bytes) -> None:
        self._trust_root = trust_root
        self._enclave_held_data = enclave_held_data
        self._collateral: VerifiedCollateral | None = None
        self.reports: list[StepReport] = []
        self.tee: Tee | None = None
        self.report: Report | None = None
        self.platform: PckExtension | None = None
        self.verdict: TcbVerdict | None = None
        self.fresh = False

    def passed(self, detail: str, parts: Sequence[StepPart] = ()) -> None:
        """Note that the next step has passed, and what it and its parts have found."""
        number = len(self.reports) + 1
        self.reports.append(
            StepReport(number, STEPS[number - 1], Outcome.PASSED, detail, tuple(parts))
        )

    def adopt(self, collateral: VerifiedCollateral) -> None:
        """Take over what steps 2 to 6 have established, here or in an earlier verification."""
        self.reports[1:] = collateral.reports
        self.platform = collateral.platform
        self._collateral = collateral

    def claims(self, failure: QuoteValidationError | None = None) -> Claims | None:
        """Make the claims known so far; None where not even the kind could be read."""
        if self.tee is None:
            return None
        fields: dict[str, Any] = {} if self.report is None else _report_fields(self.report)
        if self.platform is not None:
            fields.update(
                fmspc=self.platform.fmspc,
                ppid=self.platform.ppid,
                platform=_platform(self.platform),
            )
        if self._collateral is not None:
            fields.update(
                valid_from=self._collateral.valid_from,
                valid_until=self._collateral.valid_until,
                tcb_evaluation_data_number=self._collateral.evaluation_number,
            )
        if self.verdict is not None:
            fields.update(
                tcb_status=self.verdict.status,
                tcb_date=self.verdict.date,
                advisory_ids=self.verdict.advisory_ids,
            )
        kind = SgxClaims if self.tee == "sgx" else TdxClaims
        return kind(
            enclave_held_data=self._enclave_held_data,
            fresh=self.fresh,
            trust_root=self._trust_root.name,
            steps=self._steps(failure),
            **fields,
        )

    def failure(self, cause: EvidenceError) -> QuoteValidationError:
        """Make the error of the step that is under way, the one after those that have passed."""
        number = len(self.reports) + 1
        error = NotAnEnclaveError if number in _CERTIFICATE_STEPS else QuoteValidationError
        part = f", {cause.part}" if cause.part else ""
        return error(f"{STEPS[number - 1]} (step {number}{part}): {cause}", step=number)

    def proven_claims(self) -> Claims:
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


def _report_fields(report: Report) -> dict[str, Any]:
    if isinstance(report, ReportBody):
        return {
            "mr_enclave": report.mr_enclave,
            "mr_signer": report.mr_signer,
            "isv_prod_id": report.isv_prod_id,
            "isv_svn": report.isv_svn,
            "attributes": report.attributes,
            "misc_select": report.misc_select,
            "debug": bool(report.attributes[0] & _SGX_DEBUG),
            "report_data": report.report_data,
        }
    return {**report._asdict(), "debug": _is_debug(report)}


def _is_debug(report: TdReport) -> bool:
    return bool(report.td_attributes[0] & _TD_DEBUG)


def _platform(certified: PckExtension) -> Platform:
    return Platform(
        sgx_type=SgxType(certified.sgx_type),
        components=certified.tcb.components,
        pce_svn=certified.tcb.pce_svn,
        instance_id=certified.instance_id,
        **certified.configuration,
    )
