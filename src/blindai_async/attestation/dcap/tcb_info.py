"""TCB info: which patch levels of a platform have which status, for SGX and for TDX.

Source: Intel's Provisioning Certification Service API, "TCB info" of version 2 (API 3, SGX only)
and version 3 (API 4). Only the fields that the verification uses are read.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from blindai_async.attestation.dcap.json_fields import (
    U8,
    U16,
    U32,
    advisories,
    hexadecimal,
    integer,
    isv_svn_levels,
    levels,
)
from blindai_async.attestation.dcap.signed_json import SignedObject, parse_signed_json
from blindai_async.attestation.dcap.tcb import COMPONENTS, PlatformTcb, PlatformTcbLevel
from blindai_async.attestation.parsing import EvidenceError, excerpt, parse_timestamp
from blindai_async.attestation.tcb_status import parse_platform_status

if TYPE_CHECKING:
    from datetime import datetime

    from blindai_async.attestation.dcap.tcb import IsvSvnLevel
    from blindai_async.attestation.tee import Tee

__all__ = ["TcbInfo", "TdxModule", "TdxModuleIdentity", "parse_tcb_info"]

MAX_MODULE_IDENTITIES: Final = 32
"""How many versions of the TDX module are read; real TCB info has under 5."""

_IDS: Final[dict[Tee, str]] = {"sgx": "SGX", "tdx": "TDX"}
_TDX_ONLY: Final = ("tdxModule", "tdxModuleIdentities")
_COMPONENT_NAMES: Final = tuple(f"sgxtcbcomp{n:02}svn" for n in range(1, COMPONENTS + 1))


class TdxModule(NamedTuple):
    """What a genuine TDX module looks like.

    Attributes:
        mr_signer: the digest of the key that signs it, 48 bytes; zero for Intel's own.
        attributes: expected SEAMATTRIBUTES under `attributes_mask`, 8 bytes.
        attributes_mask: which of their bits count.
    """

    mr_signer: bytes
    attributes: int
    attributes_mask: int


class TdxModuleIdentity(NamedTuple):
    """A version of the TDX module that has patch levels of its own.

    Attributes:
        module: what it looks like.
        levels: from highest to lowest.
    """

    module: TdxModule
    levels: tuple[IsvSvnLevel, ...]


class TcbInfo(NamedTuple):
    """The patch levels of one family of platforms, read but not yet verified.

    Attributes:
        source: the bytes that are signed, and the signature.
        version: 2 or 3.
        issue_date: when it was issued.
        next_update: when a newer one is due; it counts no longer after that.
        evaluation_number: of Intel's evaluation that it comes from (``tcbEvaluationDataNumber``).
        fmspc: the family, 6 bytes.
        pce_id: the provisioning enclave, 2 bytes.
        levels: from highest to lowest.
        module: the TDX module of version 0; None for SGX.
        module_identities: the later versions of the TDX module, by their id in upper case.
    """

    source: SignedObject
    version: int
    issue_date: datetime
    next_update: datetime
    evaluation_number: int
    fmspc: bytes
    pce_id: bytes
    levels: tuple[PlatformTcbLevel, ...]
    module: TdxModule | None
    module_identities: dict[str, TdxModuleIdentity]


def parse_tcb_info(text: str, tee: Tee) -> TcbInfo:
    """Read the TCB info of a platform, version 2 or 3, for this kind; verify nothing.

    Raises:
        EvidenceError: it is malformed, of another version, or for another kind.
    """
    source = parse_signed_json(text, "tcbInfo")
    content = source.content
    version = integer(content, "version", U16)
    if version not in (2, 3):
        raise EvidenceError(f"TCB info of version {version} is not known")
    # Version 2 was written before there was anything else than SGX.
    kind = content.get("id", "SGX" if version == 2 else None)
    if kind != _IDS[tee]:
        raise EvidenceError(f"the TCB info is for {excerpt(kind)}, not for {_IDS[tee]}")
    # How versions compare: 0, component by component, is all that Intel has defined.
    if integer(content, "tcbType", U8) != 0:
        raise EvidenceError(f"a tcbType of {content['tcbType']} is not known")
    if tee == "sgx" and any(name in content for name in _TDX_ONLY):
        raise EvidenceError("the TCB info is for SGX and describes a TDX module")
    return TcbInfo(
        source=source,
        version=version,
        issue_date=parse_timestamp(content.get("issueDate")),
        next_update=parse_timestamp(content.get("nextUpdate")),
        evaluation_number=integer(content, "tcbEvaluationDataNumber", U32),
        fmspc=hexadecimal(content, "fmspc", 6),
        pce_id=hexadecimal(content, "pceId", 2),
        levels=_platform_levels(content, version, tee),
        module=_module(content.get("tdxModule")) if tee == "tdx" else None,
        module_identities=_module_identities(content) if tee == "tdx" else {},
    )


def _platform_levels(
    content: dict[str, Any], version: int, tee: Tee
) -> tuple[PlatformTcbLevel, ...]:
    found = tuple(
        PlatformTcbLevel(
            PlatformTcb(
                _components_v2(tcb) if version == 2 else _components_v3(tcb, "sgxtcbcomponents"),
                integer(tcb, "pcesvn", U16),
            ),
            _components_v3(tcb, "tdxtcbcomponents") if tee == "tdx" else b"",
            parse_platform_status(level.get("tcbStatus")),
            parse_timestamp(level.get("tcbDate")),
            advisories(level),
        )
        for level, tcb in levels(content)
    )
    # The first level that is reached counts: out of order, a lower one would hide a higher one.
    if any(_rank(higher) <= _rank(lower) for higher, lower in pairwise(found)):
        raise EvidenceError("the TCB levels are not listed from highest to lowest, each once")
    return found


def _rank(level: PlatformTcbLevel) -> tuple[bytes, int, bytes]:
    # The order in which Intel's library sorts levels (TcbLevel::operator>).
    return level.tcb.components, level.tcb.pce_svn, level.tdx_components


def _components_v2(tcb: dict[str, Any]) -> bytes:
    return _svns([tcb.get(name) for name in _COMPONENT_NAMES])


def _components_v3(tcb: dict[str, Any], name: str) -> bytes:
    components = tcb.get(name)
    if not isinstance(components, list) or len(components) != COMPONENTS:
        raise EvidenceError(f"{name} is not a list of {COMPONENTS} components")
    if set(map(type, components)) != {dict}:
        raise EvidenceError("a TCB component is not an object")
    return _svns([component.get("svn") for component in components])


def _svns(values: list[Any]) -> bytes:
    # Not isinstance: to Python, true is an integer.
    if set(map(type, values)) == {int} and min(values) >= 0 and max(values) <= U8:
        return bytes(values)
    raise EvidenceError(f"a component's security version is not a number from 0 to {U8}")


def _module(content: object) -> TdxModule:
    if not isinstance(content, dict):
        raise EvidenceError("the TCB info does not describe the TDX module")
    return TdxModule(
        hexadecimal(content, "mrsigner", 48),
        int.from_bytes(hexadecimal(content, "attributes", 8), "little"),
        int.from_bytes(hexadecimal(content, "attributesMask", 8), "little"),
    )


def _module_identities(content: dict[str, Any]) -> dict[str, TdxModuleIdentity]:
    listed = content.get("tdxModuleIdentities", [])
    if not isinstance(listed, list) or len(listed) > MAX_MODULE_IDENTITIES:
        raise EvidenceError("tdxModuleIdentities is not a list")
    found: dict[str, TdxModuleIdentity] = {}
    for identity in listed:
        name = identity.get("id") if isinstance(identity, dict) else None
        if not isinstance(name, str) or name.upper() in found:
            raise EvidenceError("an identity of the TDX module has no id, or another one's")
        found[name.upper()] = TdxModuleIdentity(_module(identity), isv_svn_levels(identity))
    return found
