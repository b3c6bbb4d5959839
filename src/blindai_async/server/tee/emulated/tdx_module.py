"""What TCB info says of the TDX module: who signed it, and how current each version of it is.

Source: Provisioning Certification Service API v4, "Get TDX TCB Info".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from blindai_async.server.tee.emulated.qe_identity import QeLevel

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ModuleLevel", "TdxModule", "TdxModuleIdentity"]

# A level of the module and one of the quoting enclave have the same members.
ModuleLevel = QeLevel


@dataclass(frozen=True, kw_only=True)
class TdxModule:
    """The member `tdxModule`: who signs modules of version 0. Each field is a knob.

    Attributes:
        mr_signer: equal to the report's mr_signer_seam, 48 bytes.
        attributes: expected seam_attributes, 8 bytes as they stand in the report.
        attributes_mask: 8 bytes.
    """

    mr_signer: bytes = bytes(48)
    attributes: bytes = bytes(8)
    attributes_mask: bytes = b"\xff" * 8

    def content(self) -> Mapping[str, object]:
        """Return the JSON object."""
        return {
            "mrsigner": self.mr_signer.hex().upper(),
            "attributes": self.attributes.hex().upper(),
            "attributesMask": self.attributes_mask.hex().upper(),
        }


@dataclass(frozen=True, kw_only=True)
class TdxModuleIdentity(TdxModule):
    """One member of `tdxModuleIdentities`: a version of the module. Each field is a knob.

    Attributes:
        id: `TDX_` and the version in two hexadecimal digits.
        levels: by the module's SVN, from highest to lowest.
    """

    id: str
    levels: tuple[ModuleLevel, ...]

    def content(self) -> Mapping[str, object]:
        """Return the JSON object."""
        levels = {"tcbLevels": [level.content() for level in self.levels]}
        return {"id": self.id} | dict(super().content()) | levels
