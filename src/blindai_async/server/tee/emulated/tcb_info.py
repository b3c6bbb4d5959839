"""TCB info: which patch levels of a platform are up to date (versions 2 and 3, SGX and TDX).

Source: Provisioning Certification Service API v3 (TCB info 2) and v4 (TCB info 3).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from blindai_async.server.tee.emulated.documents import SignedDocument, json_date

if TYPE_CHECKING:
    from datetime import datetime

    from blindai_async.server.tee.emulated.tdx_module import TdxModule, TdxModuleIdentity

__all__ = ["TcbInfo", "TcbLevel"]


@dataclass(frozen=True, kw_only=True)
class TcbLevel:
    """One level: the least security version numbers, and what having them is worth.

    Attributes:
        component_svns: 16 numbers, each at most 255 to be valid.
        pce_svn: of the provisioning certification enclave.
        status: such as `UpToDate` or `SWHardeningNeeded`; any text is written.
        date: the TCB date.
        advisory_ids: left out of the JSON where empty.
        tdx_component_svns: 16 more numbers, for TDX; None leaves them out.
    """

    component_svns: tuple[int, ...]
    pce_svn: int
    status: str
    date: datetime
    advisory_ids: tuple[str, ...] = ()
    tdx_component_svns: tuple[int, ...] | None = None

    def content(self, version: int) -> dict[str, object]:
        """Return the level as TCB info of a version has it."""
        tcb: dict[str, object]
        if version < 3:
            tcb = {f"sgxtcbcomp{i:02}svn": svn for i, svn in enumerate(self.component_svns, 1)}
        else:
            tcb = {"sgxtcbcomponents": [{"svn": svn} for svn in self.component_svns]}
        tcb["pcesvn"] = self.pce_svn
        if self.tdx_component_svns is not None:
            tcb["tdxtcbcomponents"] = [{"svn": svn} for svn in self.tdx_component_svns]
        advisories = {"advisoryIDs": list(self.advisory_ids)} if self.advisory_ids else {}
        return {
            "tcb": tcb,
            "tcbDate": json_date(self.date),
            "tcbStatus": self.status,
            **advisories,
        }


@dataclass(frozen=True, kw_only=True)
class TcbInfo(SignedDocument):
    """The TCB info of a family of platforms. Each field is a knob, also the inherited ones.

    Attributes:
        version: 2 or 3; the layout of levels of 3 and above is that of 3.
        id: `SGX` or `TDX`; written from version 3 on.
        fmspc: 6 bytes, equal to the PCK certificate's.
        pce_id: 2 bytes, equal to the PCK certificate's.
        tcb_type: 0.
        tcb_evaluation_data_number: rises with every recovery event; None leaves it out.
        tdx_module: who signs the TDX module; None leaves it out, as for SGX.
        tdx_module_identities: the module's versions; empty leaves them out, as for SGX.
        levels: from highest to lowest.
    """

    MEMBER: ClassVar[str] = "tcbInfo"

    version: int
    id: str = "SGX"
    fmspc: bytes
    pce_id: bytes
    tcb_type: int = 0
    tcb_evaluation_data_number: int | None = 12
    tdx_module: TdxModule | None = None
    tdx_module_identities: tuple[TdxModuleIdentity, ...] = ()
    levels: tuple[TcbLevel, ...]

    def content(self) -> dict[str, object]:
        """Return the `tcbInfo` object."""
        content: dict[str, object] = {"id": self.id} if self.version >= 3 else {}
        content |= {
            "version": self.version,
            "issueDate": json_date(self.issue_date),
            "nextUpdate": json_date(self.next_update),
            "fmspc": self.fmspc.hex().upper(),
            "pceId": self.pce_id.hex().upper(),
            "tcbType": self.tcb_type,
        }
        if self.tcb_evaluation_data_number is not None:
            content["tcbEvaluationDataNumber"] = self.tcb_evaluation_data_number
        if self.tdx_module is not None:
            content["tdxModule"] = self.tdx_module.content()
        if self.tdx_module_identities:
            modules = [identity.content() for identity in self.tdx_module_identities]
            content["tdxModuleIdentities"] = modules
        content["tcbLevels"] = [level.content(self.version) for level in self.levels]
        return content
