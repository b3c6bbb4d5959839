"""TCB info and QE identity: what Intel says of patch levels and of its quoting enclave.

Source: sgx-dcap.md, "Collateral". Only the fields that the verification uses are read, each in its
exact type and size; a field of another shape is refused, never converted.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from blindai_async.attestation.dcap.signed_json import SignedObject, parse_signed_json
from blindai_async.attestation.dcap.tcb import (
    COMPONENTS,
    PlatformTcb,
    PlatformTcbLevel,
    QeTcbLevel,
    parse_status,
)
from blindai_async.attestation.parsing import EvidenceError, excerpt, parse_timestamp

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["QeIdentity", "TcbInfo", "parse_qe_identity", "parse_tcb_info"]

MAX_TCB_LEVELS: Final = 256
"""How many levels are read; real collateral has under 30."""
MAX_ADVISORIES: Final = 256
"""How many advisories one level may name; real levels name under 30."""

_U8: Final = 0xFF
_U16: Final = 0xFFFF
_ADVISORY: Final = re.compile(r"[A-Za-z0-9-]{1,64}")


class TcbInfo(NamedTuple):
    """The patch levels of one family of platforms, read but not yet verified.

    Attributes:
        source: the bytes that are signed, and the signature.
        version: 2 or 3.
        issue_date: when it was issued.
        next_update: when a newer one is due; it counts no longer after that.
        fmspc: the family, 6 bytes.
        pce_id: the provisioning enclave, 2 bytes.
        levels: from highest to lowest.
    """

    source: SignedObject
    version: int
    issue_date: datetime
    next_update: datetime
    fmspc: bytes
    pce_id: bytes
    levels: tuple[PlatformTcbLevel, ...]


class QeIdentity(NamedTuple):
    """What Intel's quoting enclave looks like, read but not yet verified.

    Attributes:
        source: the bytes that are signed, and the signature.
        issue_date: when it was issued.
        next_update: when a newer one is due; it counts no longer after that.
        misc_select: expected MISCSELECT under `misc_select_mask`.
        misc_select_mask: which of its bits count.
        attributes: expected ATTRIBUTES under `attributes_mask`, 16 bytes.
        attributes_mask: which of their bits count.
        mr_signer: the digest of the key that signs it.
        isv_prod_id: its product number.
        levels: from highest to lowest.
    """

    source: SignedObject
    issue_date: datetime
    next_update: datetime
    misc_select: int
    misc_select_mask: int
    attributes: int
    attributes_mask: int
    mr_signer: bytes
    isv_prod_id: int
    levels: tuple[QeTcbLevel, ...]


def parse_tcb_info(text: str) -> TcbInfo:
    """Read the TCB info of an SGX platform, version 2 or 3; verify nothing.

    Raises:
        EvidenceError: it is malformed, of another version, or not for SGX.
    """
    source = parse_signed_json(text, "tcbInfo")
    content = source.content
    version = _integer(content, "version", _U16)
    if version not in (2, 3):
        raise EvidenceError(f"TCB info of version {version} is not known")
    # Version 2 was written before there was anything else than SGX.
    if content.get("id", "SGX" if version == 2 else None) != "SGX":
        raise EvidenceError("the TCB info is not for SGX")
    components = _components_v2 if version == 2 else _components_v3
    return TcbInfo(
        source=source,
        version=version,
        issue_date=parse_timestamp(content.get("issueDate")),
        next_update=parse_timestamp(content.get("nextUpdate")),
        fmspc=_hex(content, "fmspc", 6),
        pce_id=_hex(content, "pceId", 2),
        levels=tuple(
            PlatformTcbLevel(
                PlatformTcb(components(tcb), _integer(tcb, "pcesvn", _U16)),
                parse_status(level.get("tcbStatus")),
                parse_timestamp(level.get("tcbDate")),
                _advisory_ids(level),
            )
            for level, tcb in _levels(content)
        ),
    )


def parse_qe_identity(text: str) -> QeIdentity:
    """Read the identity of the SGX quoting enclave, version 2; verify nothing.

    Raises:
        EvidenceError: it is malformed, of another version, or of another enclave.
    """
    source = parse_signed_json(text, "enclaveIdentity")
    content = source.content
    version = _integer(content, "version", _U16)
    if version != 2:
        raise EvidenceError(f"a QE identity of version {version} is not known")
    if content.get("id") != "QE":
        raise EvidenceError(f"the identity is of {excerpt(content.get('id'))}, not of the QE")
    return QeIdentity(
        source=source,
        issue_date=parse_timestamp(content.get("issueDate")),
        next_update=parse_timestamp(content.get("nextUpdate")),
        misc_select=int.from_bytes(_hex(content, "miscselect", 4), "little"),
        misc_select_mask=int.from_bytes(_hex(content, "miscselectMask", 4), "little"),
        attributes=int.from_bytes(_hex(content, "attributes", 16), "little"),
        attributes_mask=int.from_bytes(_hex(content, "attributesMask", 16), "little"),
        mr_signer=_hex(content, "mrsigner", 32),
        isv_prod_id=_integer(content, "isvprodid", _U16),
        levels=tuple(
            QeTcbLevel(
                _integer(tcb, "isvsvn", _U16),
                parse_status(level.get("tcbStatus")),
                parse_timestamp(level.get("tcbDate")),
                _advisory_ids(level),
            )
            for level, tcb in _levels(content)
        ),
    )


def _levels(content: dict[str, Any]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    levels = content.get("tcbLevels")
    if not isinstance(levels, list) or not 0 < len(levels) <= MAX_TCB_LEVELS:
        raise EvidenceError("tcbLevels is not a list of levels")
    found = []
    for level in levels:
        tcb = level.get("tcb") if isinstance(level, dict) else None
        if not isinstance(tcb, dict):
            raise EvidenceError("a TCB level is malformed")
        found.append((level, tcb))
    return found


def _components_v2(tcb: dict[str, Any]) -> bytes:
    return _svns([tcb.get(name) for name in _COMPONENT_NAMES])


_COMPONENT_NAMES: Final = tuple(f"sgxtcbcomp{n:02}svn" for n in range(1, COMPONENTS + 1))


def _components_v3(tcb: dict[str, Any]) -> bytes:
    components = tcb.get("sgxtcbcomponents")
    if not isinstance(components, list) or len(components) != COMPONENTS:
        raise EvidenceError(f"sgxtcbcomponents is not a list of {COMPONENTS} components")
    if set(map(type, components)) != {dict}:
        raise EvidenceError("a TCB component is not an object")
    return _svns([component.get("svn") for component in components])


def _svns(values: list[Any]) -> bytes:
    # Not isinstance: to Python, true is an integer.
    if set(map(type, values)) == {int} and min(values) >= 0 and max(values) <= _U8:
        return bytes(values)
    raise EvidenceError(f"a component's security version is not a number from 0 to {_U8}")


def _integer(content: dict[str, Any], name: str, limit: int) -> int:
    value = content.get(name)
    # Not isinstance: to Python, true is an integer.
    if type(value) is not int or not 0 <= value <= limit:
        raise EvidenceError(f"{name} is not a number from 0 to {limit}")
    return value


def _hex(content: dict[str, Any], name: str, size: int) -> bytes:
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


def _advisory_ids(level: dict[str, Any]) -> tuple[str, ...]:
    ids = level.get("advisoryIDs", [])
    if not isinstance(ids, list) or len(ids) > MAX_ADVISORIES:
        raise EvidenceError("advisoryIDs is not a list")
    if not all(isinstance(one, str) and _ADVISORY.fullmatch(one) for one in ids):
        raise EvidenceError("an advisory id is malformed")
    return tuple(ids)
