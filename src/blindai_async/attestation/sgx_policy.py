"""What the user demands of an SGX enclave."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

from pydantic import Field, StrictBool

from blindai_async.attestation.policy import PolicyEntry
from blindai_async.attestation.policy_fields import U16, Hex32, Hex64, Measurement

if TYPE_CHECKING:
    from blindai_async.attestation.claims import SgxClaims

__all__ = ["BUILT_IN_POLICY", "SgxPolicy"]


class SgxPolicy(PolicyEntry):
    """Which SGX enclaves are accepted.

    A claimed value passes where ``(claimed & mask) == expected``; the flags' expected value always
    contains INIT besides. The keyword arguments are the keys of the file format.

    Attributes:
        mr_enclave: the measurement of the enclave's code, 32 bytes.
        misc_select: expected MISCSELECT under `misc_mask` (file: ``misc_select_hex``).
        misc_mask: which of its bits count (file: ``misc_mask_hex``).
        attributes_flags: expected flags under `attributes_mask_flags` (``attributes_flags_hex``).
        attributes_xfrm: expected XFRM under `attributes_mask_xfrm` (``attributes_xfrm_hex``).
        attributes_mask_flags: which flags count (``attributes_mask_flags_hex``).
        attributes_mask_xfrm: which bits of XFRM count (``attributes_mask_xfrm_hex``).
        allow_debug: accept an enclave whose host can read its memory. Never for real data.
        mr_signer: where set, the digest of the key that must have signed the enclave.
        isv_prod_id: where set, the product number that the enclave must have.
        min_isv_svn: where set, the least security version that the enclave must have.
    """

    tee: Literal["sgx"] = "sgx"
    mr_enclave: Measurement
    misc_select: Hex32 = Field(alias="misc_select_hex")
    misc_mask: Hex32 = Field(alias="misc_mask_hex")
    attributes_flags: Hex64 = Field(alias="attributes_flags_hex")
    attributes_xfrm: Hex64 = Field(alias="attributes_xfrm_hex")
    attributes_mask_flags: Hex64 = Field(alias="attributes_mask_flags_hex")
    attributes_mask_xfrm: Hex64 = Field(alias="attributes_mask_xfrm_hex")
    allow_debug: StrictBool
    mr_signer: Measurement | None = None
    isv_prod_id: U16 | None = None
    min_isv_svn: U16 | None = None

    @classmethod
    def of_claims(cls, claims: SgxClaims) -> SgxPolicy:
        """Make the policy that accepts exactly this enclave: see `Policy.for_claims`."""
        mask_flags = BUILT_IN_POLICY.attributes_mask_flags
        mask_xfrm = BUILT_IN_POLICY.attributes_mask_xfrm
        content: dict[str, Any] = {
            "mr_enclave": claims.mr_enclave,
            "misc_select_hex": hex(claims.misc_select),
            "misc_mask_hex": "0xffffffff",
            "attributes_flags_hex": hex(claims.attributes_flags & mask_flags),
            "attributes_xfrm_hex": hex(claims.attributes_xfrm & mask_xfrm),
            "attributes_mask_flags_hex": hex(mask_flags),
            "attributes_mask_xfrm_hex": hex(mask_xfrm),
            "allow_debug": claims.debug,
            "mr_signer": claims.mr_signer,
            "isv_prod_id": claims.isv_prod_id,
            "min_isv_svn": claims.isv_svn,
        }
        return cls.model_validate(content)

    def _own_lines(self) -> list[str]:
        lines = [
            f'mr_enclave = "{self.mr_enclave.hex()}"',
            f'misc_select_hex = "{self.misc_select:#x}"',
            f'misc_mask_hex = "{self.misc_mask:#x}"',
            f'attributes_flags_hex = "{self.attributes_flags:#x}"',
            f'attributes_xfrm_hex = "{self.attributes_xfrm:#x}"',
            f'attributes_mask_flags_hex = "{self.attributes_mask_flags:#x}"',
            f'attributes_mask_xfrm_hex = "{self.attributes_mask_xfrm:#x}"',
            f"allow_debug = {str(self.allow_debug).lower()}",
        ]
        if self.mr_signer is not None:
            lines.append(f'mr_signer = "{self.mr_signer.hex()}"')
        if self.isv_prod_id is not None:
            lines.append(f"isv_prod_id = {self.isv_prod_id}")
        if self.min_isv_svn is not None:
            lines.append(f"min_isv_svn = {self.min_isv_svn}")
        return lines


_BUILT_IN: Final[dict[str, Any]] = {
    "mr_enclave": bytes.fromhex("7d2addfab123c68cccdd9a1b1c5119de0f1bfb8a9b094ba88bc9091440e5a0cf"),
    "misc_select_hex": 0x0,
    "misc_mask_hex": 0xFFFFFFFF,
    "attributes_flags_hex": 0x4,
    "attributes_xfrm_hex": 0x3,
    "attributes_mask_flags_hex": 0xFFFFFFFFFFFFFFFD,
    "attributes_mask_xfrm_hex": 0xFFFFFFFFFFFFFF1B,
    "allow_debug": False,
}

# Constructed, not validated: to compile the validator would be a third of this package's import.
BUILT_IN_POLICY: Final = SgxPolicy.model_construct(**_BUILT_IN)
"""The policy of the 0.5 server's own release."""
