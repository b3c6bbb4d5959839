"""What the user demands of a TDX trust domain (TD)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, Self

from pydantic import StrictBool, model_validator

from blindai_async.attestation.policy import PolicyEntry
from blindai_async.attestation.policy_fields import Measurements384, Octets8, toml_hex

if TYPE_CHECKING:
    from blindai_async.attestation.claims import TdxClaims

__all__ = ["MIGRATABLE", "SEPT_VE_DISABLE", "TdxPolicy"]

SEPT_VE_DISABLE: Final = 1 << 28
MIGRATABLE: Final = 1 << 29

_PINNING: Final = ("mr_td", "rtmr0", "rtmr1", "rtmr2", "rtmr3")
_MEASUREMENTS: Final = (*_PINNING, "mr_seam", "mr_config_id", "mr_owner", "mr_owner_config")
_MASKED: Final = ("td_attributes", "xfam")
_SWITCHES: Final = {
    "allow_debug": False,
    "allow_service_td": False,
    "require_sept_ve_disable": True,
    "allow_migratable": False,
}
"""Each switch, and what it is where a policy does not name it."""


class TdxPolicy(PolicyEntry):
    """Which TDX trust domains are accepted.

    A measurement is one value of 48 bytes or several, any of which may be the TD's; one that is
    absent is not looked at. At least `mr_td` or one `rtmr` has to be there: a policy that pins
    neither would accept anybody's TD. The keyword arguments are the keys of the file format.

    Attributes:
        mr_td: the TD's initial contents, usually its firmware.
        rtmr0: the first register that the TD extends; what they cover is the TD's choice.
        rtmr1: the second one.
        rtmr2: the third one.
        rtmr3: the fourth one.
        mr_seam: the TDX module. Intel's collateral judges it too: a policy that pins it has to
            change with every update of the module.
        mr_config_id: of the owner's choice.
        mr_owner: the owner.
        mr_owner_config: of the owner's choice.
        td_attributes: expected attributes under `td_attributes_mask`, 8 bytes; in a file 16 hex
            digits as they stand in a report, or a number such as ``"0x10000000"``.
        td_attributes_mask: which of their bits count; all where it is absent.
        xfam: expected XFAM under `xfam_mask`, written likewise.
        xfam_mask: which of its bits count; all where it is absent.
        allow_service_td: accept a TD that a service TD is bound to, such as a migration TD.
        require_sept_ve_disable: refuse a TD that lets its host inject exceptions upon access to
            its pages (bit 28 of the attributes clear), which some guest kernels cannot withstand.
        allow_migratable: accept a TD that may be moved to another platform.
    """

    tee: Literal["tdx"] = "tdx"
    mr_td: Measurements384 | None = None
    rtmr0: Measurements384 | None = None
    rtmr1: Measurements384 | None = None
    rtmr2: Measurements384 | None = None
    rtmr3: Measurements384 | None = None
    mr_seam: Measurements384 | None = None
    mr_config_id: Measurements384 | None = None
    mr_owner: Measurements384 | None = None
    mr_owner_config: Measurements384 | None = None
    td_attributes: Octets8 | None = None
    td_attributes_mask: Octets8 | None = None
    xfam: Octets8 | None = None
    xfam_mask: Octets8 | None = None
    allow_service_td: StrictBool = False
    require_sept_ve_disable: StrictBool = True
    allow_migratable: StrictBool = False

    @model_validator(mode="after")
    def _has_a_meaning(self) -> Self:
        if all(getattr(self, name) is None for name in _PINNING):
            raise ValueError(
                "pins neither mr_td nor any of rtmr0 to rtmr3, and would accept anybody's TD"
            )
        for name in _MASKED:
            expected, mask = getattr(self, name), getattr(self, f"{name}_mask")
            if expected is None and mask is not None:
                raise ValueError(f"{name}_mask says which bits count of {name}, which is absent")
            if expected is not None and mask is not None and _number(expected) & ~_number(mask):
                raise ValueError(f"{name} expects bits that {name}_mask leaves out")
        return self

    def expected_measurements(self) -> dict[str, tuple[bytes, ...]]:
        """Return the measurements that are looked at, by name."""
        values = {name: getattr(self, name) for name in _MEASUREMENTS}
        return {name: value for name, value in values.items() if value is not None}

    def expected_bits(self) -> dict[str, tuple[int, int]]:
        """Return the expected numbers and their masks that are looked at, by name."""
        found = {}
        for name in _MASKED:
            expected, mask = getattr(self, name), getattr(self, f"{name}_mask")
            if expected is not None:
                found[name] = _number(expected), _number(mask or b"\xff" * 8)
        return found

    @classmethod
    def of_claims(cls, claims: TdxClaims) -> TdxPolicy:
        """Make the policy that accepts exactly this TD: see `Policy.for_claims`."""
        attributes = _number(claims.td_attributes)
        content: dict[str, Any] = {
            "mr_td": claims.mr_td,
            **{f"rtmr{number}": rtmr for number, rtmr in enumerate(claims.rtmrs)},
            "mr_config_id": claims.mr_config_id,
            "mr_owner": claims.mr_owner,
            "mr_owner_config": claims.mr_owner_config,
            "td_attributes": claims.td_attributes,
            "xfam": claims.xfam,
            "allow_debug": claims.debug,
            "allow_service_td": any(claims.mr_service_td or b""),
            "require_sept_ve_disable": bool(attributes & SEPT_VE_DISABLE),
            "allow_migratable": bool(attributes & MIGRATABLE),
        }
        return cls.model_validate(content)

    def _own_lines(self) -> list[str]:
        lines = ['tee = "tdx"']
        for name, values in self.expected_measurements().items():
            lines.append(f"{name} = {toml_hex(values)}")
        for name in ("td_attributes", "td_attributes_mask", "xfam", "xfam_mask"):
            value = getattr(self, name)
            if value is not None:
                lines.append(f'{name} = "{value.hex()}"')
        for name, default in _SWITCHES.items():
            value = getattr(self, name)
            if value is not default:
                lines.append(f"{name} = {str(value).lower()}")
        return lines


def _number(octets: bytes) -> int:
    return int.from_bytes(octets, "little")
