"""QE identity: which quoting enclaves are genuine, and how current each is (version 2).

Source: Provisioning Certification Service API, "Get Quoting Enclave Identity".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from blindai_async.server.tee.emulated.documents import SignedDocument, json_date

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["QeIdentity", "QeLevel"]


@dataclass(frozen=True, kw_only=True)
class QeLevel:
    """One level: the least ISV SVN of the quoting enclave, and what having it is worth.

    Attributes:
        isv_svn: at least this one.
        status: such as `UpToDate`, `OutOfDate` or `Revoked`; any text is written.
        date: the TCB date.
        advisory_ids: left out of the JSON where empty.
    """

    isv_svn: int
    status: str
    date: datetime
    advisory_ids: tuple[str, ...] = ()

    def content(self) -> dict[str, object]:
        """Return the level's JSON object."""
        advisories = {"advisoryIDs": list(self.advisory_ids)} if self.advisory_ids else {}
        return {
            "tcb": {"isvsvn": self.isv_svn},
            "tcbDate": json_date(self.date),
            "tcbStatus": self.status,
            **advisories,
        }


@dataclass(frozen=True, kw_only=True)
class QeIdentity(SignedDocument):
    """The identity of the quoting enclave. Each field is a knob, also the inherited ones.

    Attributes:
        id: `QE`, or `TD_QE` for the one that quotes TDs.
        version: 2.
        misc_select: expected MISCSELECT, 4 bytes as they stand in the report.
        misc_select_mask: 4 bytes.
        attributes: expected ATTRIBUTES, 16 bytes as they stand in the report.
        attributes_mask: 16 bytes.
        mr_signer: 32 bytes.
        isv_prod_id: product id.
        tcb_evaluation_data_number: rises with every recovery event; None leaves it out.
        levels: from highest to lowest.
    """

    MEMBER: ClassVar[str] = "enclaveIdentity"

    id: str = "QE"
    version: int = 2
    misc_select: bytes
    misc_select_mask: bytes
    attributes: bytes
    attributes_mask: bytes
    mr_signer: bytes
    isv_prod_id: int
    tcb_evaluation_data_number: int | None = 12
    levels: tuple[QeLevel, ...]

    def content(self) -> dict[str, object]:
        """Return the `enclaveIdentity` object."""
        number = self.tcb_evaluation_data_number
        return {
            "id": self.id,
            "version": self.version,
            "issueDate": json_date(self.issue_date),
            "nextUpdate": json_date(self.next_update),
            **({} if number is None else {"tcbEvaluationDataNumber": number}),
            "miscselect": self.misc_select.hex().upper(),
            "miscselectMask": self.misc_select_mask.hex().upper(),
            "attributes": self.attributes.hex().upper(),
            "attributesMask": self.attributes_mask.hex().upper(),
            "mrsigner": self.mr_signer.hex().upper(),
            "isvprodid": self.isv_prod_id,
            "tcbLevels": [level.content() for level in self.levels],
        }
