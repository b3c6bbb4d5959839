"""What the user demands of an enclave: the policy, its file format, and the check against it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    ValidationError,
)

from blindai_async._base_errors import PolicyFormatError
from blindai_async.attestation.dcap.tcb import TcbStatus

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from blindai_async.attestation.claims import DcapClaims

__all__ = ["BUILT_IN_POLICY", "DEFAULT_TCB_STATUSES", "Policy"]

MAX_POLICY_BYTES: Final = 64 * 1024
"""The longest policy file that is read; real ones have under 1 KB."""

DEFAULT_TCB_STATUSES: Final = frozenset({TcbStatus.UP_TO_DATE, TcbStatus.SW_HARDENING_NEEDED})
"""The TCB statuses that a policy accepts where it names none (sgx-dcap.md, "Failures")."""

_NEVER_ACCEPTED: Final = frozenset({TcbStatus.REVOKED, TcbStatus.UNKNOWN})
_HEX_INTEGER: Final = re.compile(r"(?:0[xX])?([0-9a-fA-F]+)")
_ADVISORY: Final = re.compile(r"[A-Za-z0-9-]{1,64}")
_MEASUREMENT_BYTES: Final = 32


def _measurement(value: object) -> object:
    if isinstance(value, bytes) and len(value) == _MEASUREMENT_BYTES:
        return value
    digits = 2 * _MEASUREMENT_BYTES
    if not isinstance(value, str) or not re.fullmatch(rf"[0-9a-fA-F]{{{digits}}}", value):
        raise ValueError(f"must be a text of {digits} hex digits")
    return bytes.fromhex(value)


def _hex_integer(bits: int) -> BeforeValidator:
    def read(value: object) -> object:
        digits = _HEX_INTEGER.fullmatch(value) if isinstance(value, str) else None
        if digits is None:
            raise ValueError('must be a text of hex digits such as "0x4"')
        if len(digits[1]) > bits // 4:
            raise ValueError(f"must have no more than {bits // 4} hex digits")
        return int(digits[1], 16)

    return BeforeValidator(read)


def _statuses(value: object) -> object:
    if not isinstance(value, (list, tuple, set, frozenset)) or not value:
        raise ValueError("must be a list of one TCB status or more")
    known = {status.value for status in TcbStatus if status not in _NEVER_ACCEPTED}
    for status in value:
        if not isinstance(status, str) or status not in known:
            raise ValueError(f"may hold only {', '.join(sorted(known))}")
    return frozenset(TcbStatus(status) for status in value)


def _advisories(value: object) -> object:
    if not isinstance(value, (list, tuple, set, frozenset)) or not all(
        isinstance(item, str) and _ADVISORY.fullmatch(item) for item in value
    ):
        raise ValueError('must be a list of advisory ids such as "INTEL-SA-00615"')
    return frozenset(value)


_Measurement = Annotated[bytes, BeforeValidator(_measurement)]
_U16 = Annotated[int, Field(strict=True, ge=0, le=0xFFFF)]
_U32 = Annotated[int, _hex_integer(32)]
_U64 = Annotated[int, _hex_integer(64)]


class Policy(BaseModel):
    """Which enclaves are accepted, once their evidence has been verified.

    A claimed value passes where ``(claimed & mask) == expected``; the flags' expected value always
    contains INIT besides (wire-protocol.md, "Policy file"). The keyword arguments are the keys of
    the file format.

    Attributes:
        mr_enclave: the measurement of the enclave's code, 32 bytes.
        misc_select: expected MISCSELECT under `misc_mask` (file: ``misc_select_hex``).
        misc_mask: which of its bits count (file: ``misc_mask_hex``).
        attributes_flags: expected flags under `attributes_mask_flags` (``attributes_flags_hex``).
        attributes_xfrm: expected XFRM under `attributes_mask_xfrm` (``attributes_xfrm_hex``).
        attributes_mask_flags: which flags count (``attributes_mask_flags_hex``).
        attributes_mask_xfrm: which bits of XFRM count (``attributes_mask_xfrm_hex``).
        allow_debug: accept an enclave whose host can read its memory. Never for real data.
        accepted_tcb_statuses: the platform's patch levels that are accepted. Never `REVOKED`.
        allowed_advisories: where set, the only security advisories that may apply.
        mr_signer: where set, the digest of the key that must have signed the enclave.
        isv_prod_id: where set, the product number that the enclave must have.
        min_isv_svn: where set, the least security version that the enclave must have.
    """

    model_config = ConfigDict(
        defer_build=True,
        frozen=True,
        extra="forbid",
        ser_json_bytes="hex",
        hide_input_in_errors=True,
    )

    mr_enclave: _Measurement
    misc_select: _U32 = Field(alias="misc_select_hex")
    misc_mask: _U32 = Field(alias="misc_mask_hex")
    attributes_flags: _U64 = Field(alias="attributes_flags_hex")
    attributes_xfrm: _U64 = Field(alias="attributes_xfrm_hex")
    attributes_mask_flags: _U64 = Field(alias="attributes_mask_flags_hex")
    attributes_mask_xfrm: _U64 = Field(alias="attributes_mask_xfrm_hex")
    allow_debug: StrictBool
    accepted_tcb_statuses: Annotated[frozenset[TcbStatus], BeforeValidator(_statuses)] = (
        DEFAULT_TCB_STATUSES
    )
    allowed_advisories: Annotated[frozenset[str], BeforeValidator(_advisories)] | None = None
    mr_signer: _Measurement | None = None
    isv_prod_id: _U16 | None = None
    min_isv_svn: _U16 | None = None

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> Self:
        """Read a policy file.

        Raises:
            FileNotFoundError: there is no such file.
            PolicyFormatError: it is not a policy; ``key`` names what is wrong.
        """
        with Path(path).open("rb") as file:
            content = file.read(MAX_POLICY_BYTES + 1)
        if len(content) > MAX_POLICY_BYTES:
            raise PolicyFormatError(f"The policy has more than {MAX_POLICY_BYTES} bytes")
        try:
            text = content.decode("utf-8")
        except UnicodeDecodeError as error:
            raise PolicyFormatError("The policy is not UTF-8 text") from error
        return cls.from_str(text)

    @classmethod
    def from_str(cls, text: str) -> Self:
        """Read a policy from the text of its TOML file.

        Raises:
            PolicyFormatError: it is not a policy; ``key`` names what is wrong.
        """
        if len(text) > MAX_POLICY_BYTES:
            raise PolicyFormatError(f"The policy has more than {MAX_POLICY_BYTES} characters")
        try:
            import tomllib  # noqa: PLC0415 - few processes read a policy file

            content = tomllib.loads(text)
        except (ValueError, RecursionError) as error:
            raise PolicyFormatError("The policy is not a TOML file") from error
        return cls.from_dict(content)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Read a policy from the keys and values of its file.

        Raises:
            PolicyFormatError: a key is missing, unknown, or has a value that it may not have.
        """
        try:
            return cls.model_validate(dict(content))
        except ValidationError as error:
            problems = error.errors(include_url=False, include_context=False, include_input=False)
            # A misspelt key is both an unknown and a missing one: name what stands in the file.
            first = min(problems, key=lambda problem: problem["type"] != "extra_forbidden")
            key = str(first["loc"][0]) if first["loc"] else ""
            problem = first["msg"].removeprefix("Value error, ")
            raise PolicyFormatError(f"The policy's key {key[:64]!a}: {problem}", key=key) from error

    @classmethod
    def for_claims(cls, claims: DcapClaims) -> Self:
        """Write the policy that accepts exactly this enclave: its code, signer and configuration.

        That is trust on first use: nobody but you can say that this enclave is the right one. The
        accepted TCB statuses stay the default ones, whatever the platform's own status is.

        Args:
            claims: claims that were verified.

        Raises:
            ValueError: they were not.
        """
        if not claims.verified:
            raise ValueError("A policy is made of verified claims only")
        flags, xfrm = claims.attributes_flags, claims.attributes_xfrm
        mask_flags, mask_xfrm = (
            BUILT_IN_POLICY.attributes_mask_flags,
            BUILT_IN_POLICY.attributes_mask_xfrm,
        )
        return cls(
            mr_enclave=claims.mr_enclave,
            misc_select_hex=hex(claims.misc_select),
            misc_mask_hex="0xffffffff",
            attributes_flags_hex=hex(flags & mask_flags),
            attributes_xfrm_hex=hex(xfrm & mask_xfrm),
            attributes_mask_flags_hex=hex(mask_flags),
            attributes_mask_xfrm_hex=hex(mask_xfrm),
            allow_debug=claims.debug,
            mr_signer=claims.mr_signer,
            isv_prod_id=claims.isv_prod_id,
            min_isv_svn=claims.isv_svn,
        )

    def to_toml(self) -> str:
        """Write the policy as the text of a policy file; `from_str` reads it back."""
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
        if self.accepted_tcb_statuses != DEFAULT_TCB_STATUSES:
            lines.append(f"accepted_tcb_statuses = {_toml_list(self.accepted_tcb_statuses)}")
        if self.allowed_advisories is not None:
            lines.append(f"allowed_advisories = {_toml_list(self.allowed_advisories)}")
        if self.mr_signer is not None:
            lines.append(f'mr_signer = "{self.mr_signer.hex()}"')
        if self.isv_prod_id is not None:
            lines.append(f"isv_prod_id = {self.isv_prod_id}")
        if self.min_isv_svn is not None:
            lines.append(f"min_isv_svn = {self.min_isv_svn}")
        return "\n".join(lines) + "\n"


def _toml_list(items: frozenset[TcbStatus] | frozenset[str]) -> str:
    # Advisory ids and statuses hold no character that TOML would have escaped.
    return "[" + ", ".join(f'"{item}"' for item in sorted(items)) + "]"


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
BUILT_IN_POLICY: Final = Policy.model_construct(**_BUILT_IN)
"""The policy of the 0.5 server's own release (wire-protocol.md, "Policy file")."""
