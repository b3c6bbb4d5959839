"""The kinds of value that a policy's keys can have, and how each is written in TOML."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import BeforeValidator, Field

from blindai_async.attestation.tcb_status import TcbStatus

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "DEFAULT_TCB_STATUSES",
    "U16",
    "U32",
    "Advisories",
    "Days",
    "EntryName",
    "Hex32",
    "Hex64",
    "Measurement",
    "Measurements384",
    "Octets8",
    "Ppids",
    "TcbStatuses",
    "toml_hex",
    "toml_list",
]

DEFAULT_TCB_STATUSES: Final = frozenset({TcbStatus.UP_TO_DATE, TcbStatus.SW_HARDENING_NEEDED})
"""The TCB statuses that a policy accepts where it names none: what the original client accepts."""

_NEVER_ACCEPTED: Final = frozenset({TcbStatus.REVOKED, TcbStatus.UNKNOWN})
_HEX_INTEGER: Final = re.compile(r"(?:0[xX])?([0-9a-fA-F]+)")
_ADVISORY: Final = re.compile(r"[A-Za-z0-9-]{1,64}")
_NAME: Final = r"^[A-Za-z0-9 ._+-]{1,64}$"
_MAX_DAYS: Final = 3660
_Collection = (list, tuple, set, frozenset)


def _octets(value: object, size: int) -> bytes:
    if isinstance(value, bytes) and len(value) == size:
        return value
    if not isinstance(value, str) or not re.fullmatch(rf"[0-9a-fA-F]{{{2 * size}}}", value):
        raise ValueError(f"must be a text of {2 * size} hex digits")
    return bytes.fromhex(value)


def _octets_of(size: int) -> BeforeValidator:
    return BeforeValidator(lambda value: _octets(value, size))


def _one_or_more_of(size: int) -> BeforeValidator:
    def read(value: object) -> object:
        values = value if isinstance(value, _Collection) else (value,)
        if not values:
            raise ValueError("must be one value, or a list of one or more")
        return tuple(_octets(one, size) for one in values)

    return BeforeValidator(read)


def _hex_integer(bits: int) -> BeforeValidator:
    def read(value: object) -> object:
        digits = _HEX_INTEGER.fullmatch(value) if isinstance(value, str) else None
        if digits is None:
            raise ValueError('must be a text of hex digits such as "0x4"')
        if len(digits[1]) > bits // 4:
            raise ValueError(f"must have no more than {bits // 4} hex digits")
        return int(digits[1], 16)

    return BeforeValidator(read)


def _octets_or_number(value: object) -> object:
    """Read 8 bytes as they stand in a report, or, with the prefix 0x, as one number."""
    if isinstance(value, str) and value[:2] in ("0x", "0X"):
        digits = _HEX_INTEGER.fullmatch(value)
        if digits is None or len(digits[1]) > 16:
            raise ValueError('must be 16 hex digits, or a number such as "0x10000000"')
        return int(digits[1], 16).to_bytes(8, "little")
    return _octets(value, 8)


def _statuses(value: object) -> object:
    if not isinstance(value, _Collection) or not value:
        raise ValueError("must be a list of one TCB status or more")
    known = {status.value for status in TcbStatus if status not in _NEVER_ACCEPTED}
    for status in value:
        if not isinstance(status, str) or status not in known:
            raise ValueError(f"may hold only {', '.join(sorted(known))}")
    return frozenset(TcbStatus(status) for status in value)


def _advisories(value: object) -> object:
    if not isinstance(value, _Collection) or not all(
        isinstance(item, str) and _ADVISORY.fullmatch(item) for item in value
    ):
        raise ValueError('must be a list of advisory ids such as "INTEL-SA-00615"')
    return frozenset(value)


def _ppids(value: object) -> object:
    if not isinstance(value, _Collection) or not value:
        raise ValueError("must be a list of one PPID or more")
    return frozenset(_octets(one, 16) for one in value)


Measurement = Annotated[bytes, _octets_of(32)]
Measurements384 = Annotated[tuple[bytes, ...], _one_or_more_of(48)]
Octets8 = Annotated[bytes, BeforeValidator(_octets_or_number)]
Ppids = Annotated[frozenset[bytes], BeforeValidator(_ppids)]
TcbStatuses = Annotated[frozenset[TcbStatus], BeforeValidator(_statuses)]
Advisories = Annotated[frozenset[str], BeforeValidator(_advisories)]
EntryName = Annotated[str, Field(strict=True, pattern=_NAME)]
U16 = Annotated[int, Field(strict=True, ge=0, le=0xFFFF)]
U32 = Annotated[int, Field(strict=True, ge=0, le=0xFFFFFFFF)]
Days = Annotated[int, Field(strict=True, ge=0, le=_MAX_DAYS)]
Hex32 = Annotated[int, _hex_integer(32)]
Hex64 = Annotated[int, _hex_integer(64)]


def toml_list(items: Iterable[str]) -> str:
    """Write texts as a TOML list, sorted; none of a policy's holds what TOML would escape."""
    return "[" + ", ".join(f'"{item}"' for item in sorted(items)) + "]"


def toml_hex(values: tuple[bytes, ...]) -> str:
    """Write one value as a text, several as a list in their order."""
    texts = [f'"{value.hex()}"' for value in values]
    return texts[0] if len(texts) == 1 else "[" + ", ".join(texts) + "]"
