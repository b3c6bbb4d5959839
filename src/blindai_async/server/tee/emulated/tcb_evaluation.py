"""TCB evaluation data numbers: which evaluations of the TCB a service has, and since when.

Source: Provisioning Certification Service API v4, "Get TCB Evaluation Data Numbers".
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import ClassVar

from blindai_async.server.tee.emulated.documents import SignedDocument, json_date

__all__ = ["TcbEvaluationDataNumbers"]

_FIRST_EVENT = datetime(2021, 1, 12, tzinfo=UTC)
_BETWEEN_EVENTS = timedelta(days=182)


@dataclass(frozen=True, kw_only=True)
class TcbEvaluationDataNumbers(SignedDocument):
    """The list of evaluations. Each field is a knob, also the inherited ones.

    Attributes:
        id: `SGX` or `TDX`.
        version: 1.
        numbers: from the newest to the oldest.
    """

    MEMBER: ClassVar[str] = "tcbEvaluationDataNumbers"

    id: str
    version: int = 1
    numbers: tuple[int, ...]

    def content(self) -> dict[str, object]:
        """Return the `tcbEvaluationDataNumbers` object."""
        return {
            "id": self.id,
            "version": self.version,
            "issueDate": json_date(self.issue_date),
            "nextUpdate": json_date(self.next_update),
            "tcbEvalNumbers": [_event(number) for number in self.numbers],
        }


def _event(number: int) -> dict[str, object]:
    event = _FIRST_EVENT + number * _BETWEEN_EVENTS
    return {
        "tcbEvaluationDataNumber": number,
        "tcbRecoveryEventDate": json_date(event),
        "tcbDate": json_date(event + timedelta(days=1)),
    }
