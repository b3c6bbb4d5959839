"""The fields of TCB info and QE identity, read one by one in their exact types and sizes.

Source: Intel's Provisioning Certification Service API, version 4, "TCB info" and "Enclave
identity". A field of another shape is refused, never converted.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any, Final

from blindai_async.attestation.dcap.tcb import IsvSvnLevel
from blindai_async.attestation.parsing import EvidenceError, parse_timestamp
from blindai_async.attestation.tcb_status import parse_component_status

__all__ = [
    "MAX_TCB_LEVELS",
    "U8",
    "U16",
    "U32",
    "advisories",
    "hexadecimal",
    "integer",
    "isv_svn_levels",
    "levels",
]

MAX_TCB_LEVELS: Final = 256
"""How many levels are read; real collateral has under 30."""
MAX_ADVISORIES: Final = 256
"""How many advisories one level may name; real levels name under 30."""

U8: Final = 0xFF
U16: Final = 0xFFFF
U32: Final = 0xFFFFFFFF
_ADVISORY: Final = re.compile(r"[A-Za-z0-9-]{1,64}")


def integer(content: dict[str, Any], name: str, limit: int) -> int:
    """Read a whole number from 0 to `limit`."""
    value = content.get(name)
    # Not isinstance: to Python, true is an integer.
    if type(value) is not int or not 0 <= value <= limit:
        raise EvidenceError(f"{name} is not a number from 0 to {limit}")
    return value


def hexadecimal(content: dict[str, Any], name: str, size: int) -> bytes:
    """Read `size` bytes in hex."""
    value = content.get(name)
    if not isinstance(value, str) or len(value) != 2 * size:
        raise EvidenceError(f"{name} is not a text of {2 * size} hex digits")
    try:
        decoded = bytes.fromhex(value)
    except ValueError as error:
        raise EvidenceError(f"{name} is not hex") from error
    if len(decoded) != size:  # white space between the digits
        raise EvidenceError(f"{name} is not a text of {2 * size} hex digits")
    return decoded


def advisories(level: dict[str, Any]) -> tuple[str, ...]:
    """Read the advisories of a level, which may have none."""
    ids = level.get("advisoryIDs", [])
    if not isinstance(ids, list) or len(ids) > MAX_ADVISORIES:
        raise EvidenceError("advisoryIDs is not a list")
    if not all(isinstance(one, str) and _ADVISORY.fullmatch(one) for one in ids):
        raise EvidenceError("an advisory id is malformed")
    return tuple(ids)


def levels(content: dict[str, Any]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Read the list of TCB levels: each level, and the versions within it."""
    listed = content.get("tcbLevels")
    if not isinstance(listed, list) or not 0 < len(listed) <= MAX_TCB_LEVELS:
        raise EvidenceError("tcbLevels is not a list of levels")
    found = []
    for level in listed:
        tcb = level.get("tcb") if isinstance(level, dict) else None
        if not isinstance(tcb, dict):
            raise EvidenceError("a TCB level is malformed")
        found.append((level, tcb))
    return found


def isv_svn_levels(content: dict[str, Any]) -> tuple[IsvSvnLevel, ...]:
    """Read the levels of a quoting enclave or TDX module, from highest to lowest."""
    found = tuple(
        IsvSvnLevel(
            integer(tcb, "isvsvn", U16),
            parse_component_status(level.get("tcbStatus")),
            parse_timestamp(level.get("tcbDate")),
            advisories(level),
        )
        for level, tcb in levels(content)
    )
    # The first level that is reached counts: out of order, a lower one would hide a higher one.
    if any(higher.isv_svn <= lower.isv_svn for higher, lower in pairwise(found)):
        raise EvidenceError("the levels are not listed from highest to lowest, each once")
    return found
