"""TCB info and QE identity: fields of exact types and sizes, and nothing converted."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blindai_async.attestation import TcbStatus
from blindai_async.attestation.dcap.qe_identity import parse_qe_identity
from blindai_async.attestation.dcap.tcb_info import parse_tcb_info
from blindai_async.attestation.parsing import EvidenceError
from blindai_async.server.tee.emulated import EmulatedPlatform

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from blindai_async.attestation import SgxCollateral, Tee


@pytest.mark.parametrize("version", [2, 3])
def test_tcb_info_is_read(now: datetime, version: int) -> None:
    platform = EmulatedPlatform(now=now, tcb_info_version=version)
    written = platform.blueprint.tcb_info
    text = platform.collateral()["tcb_info"]
    assert isinstance(text, str)
    parsed = parse_tcb_info(text, "sgx")
    assert parsed.version == version
    assert (parsed.issue_date, parsed.next_update) == (written.issue_date, written.next_update)
    assert (parsed.fmspc, parsed.pce_id) == (written.fmspc, written.pce_id)
    for ours, theirs in zip(parsed.levels, written.levels, strict=True):
        assert tuple(ours.tcb.components) == theirs.component_svns
        assert ours.tcb.pce_svn == theirs.pce_svn
        assert ours.status is TcbStatus(theirs.status)
        assert (ours.date, ours.advisory_ids) == (theirs.date, theirs.advisory_ids)


def test_qe_identity_is_read(platform: EmulatedPlatform, collateral: SgxCollateral) -> None:
    written = platform.blueprint.qe_identity
    parsed = parse_qe_identity(collateral.qe_identity, "sgx")
    assert (parsed.issue_date, parsed.next_update) == (written.issue_date, written.next_update)
    assert parsed.misc_select_mask == 0xFFFFFFFF
    assert parsed.attributes.to_bytes(16, "little") == written.attributes
    assert parsed.attributes_mask.to_bytes(16, "little") == written.attributes_mask
    assert (parsed.mr_signer, parsed.isv_prod_id) == (written.mr_signer, written.isv_prod_id)
    for ours, theirs in zip(parsed.levels, written.levels, strict=True):
        assert (ours.isv_svn, ours.status) == (theirs.isv_svn, TcbStatus(theirs.status))


def paths(value: object, prefix: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every path into a JSON value, the lists by their first two members."""
    found = [prefix] if prefix else []
    if isinstance(value, dict):
        for key, inner in value.items():
            found += paths(inner, (*prefix, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value[:2]):
            found += paths(inner, (*prefix, index))
    return found


WRONG = [None, True, -1, 2**32, "", "0", "zz", "\u0660", [], {}, [[]], [None], {"svn": 1}]


@pytest.mark.parametrize(
    ("field", "member", "parse"),
    [
        ("tcb_info", "tcbInfo", parse_tcb_info),
        ("qe_identity", "enclaveIdentity", parse_qe_identity),
    ],
)
def test_no_value_may_be_missing_or_of_another_type(
    collateral: SgxCollateral, field: str, member: str, parse: Callable[[str, Tee], object]
) -> None:
    text = getattr(collateral, field)
    for path in paths(json.loads(text)[member]):
        for wrong in (..., *WRONG):
            document = json.loads(text)
            *outer, last = path
            target = document[member]
            for key in outer:
                target = target[key]
            if wrong is ...:
                del target[last]
            elif target[last] == wrong:
                continue
            else:
                target[last] = wrong
            optional = last == "advisoryIDs" and wrong in (..., [])
            if optional or (path == ("tcbLevels", 0) and wrong is ...):
                continue
            if path == ("tcbLevels", 1) and wrong is ...:
                continue
            if path[-2:-1] == ("advisoryIDs",) and wrong in (..., "0", "zz"):
                continue
            if isinstance(last, int) and path[-2] == "sgxtcbcomponents" and wrong == {"svn": 1}:
                continue
            with pytest.raises(EvidenceError):
                parse(json.dumps(document, ensure_ascii=False), "sgx")


@pytest.mark.parametrize(
    "moment",
    [
        "2022-08-23",
        "2022-08-23T09:06:29",
        "2022-08-23T09:06:29+00:00",
        "2022-08-23T09:06:29.5Z",
        "2022-08-23t09:06:29z",
        "2022-08-23 09:06:29Z",
        "2022-02-30T09:06:29Z",
        "2022-08-23T24:06:29Z",
        "2022-08-23T09:06:60Z",
        "0000-08-23T09:06:29Z",
        "2022-08-23T09:06:29Z ",
        "\u0662022-08-23T09:06:29Z",
        "20220823T090629Z",
    ],
)
def test_times_have_one_form(collateral: SgxCollateral, moment: str) -> None:
    for key in ("issueDate", "nextUpdate"):
        document = json.loads(collateral.tcb_info)
        document["tcbInfo"][key] = moment
        with pytest.raises(EvidenceError):
            parse_tcb_info(json.dumps(document, ensure_ascii=False), "sgx")


def test_too_many_levels_are_refused(collateral: SgxCollateral) -> None:
    document = json.loads(collateral.qe_identity)
    levels = document["enclaveIdentity"]["tcbLevels"]
    document["enclaveIdentity"]["tcbLevels"] = levels[:1] * 257
    with pytest.raises(EvidenceError, match="list of levels"):
        parse_qe_identity(json.dumps(document), "sgx")


@given(st.recursive(st.none() | st.integers() | st.text(max_size=5), st.lists, max_leaves=5))
def test_arbitrary_json_raises_nothing_else(value: object) -> None:
    for member, parse in (("tcbInfo", parse_tcb_info), ("enclaveIdentity", parse_qe_identity)):
        inner = {"version": 2, "id": "QE", "tcbLevels": value, "issueDate": value}
        for content in (value, inner):
            with pytest.raises(EvidenceError):
                parse(json.dumps({member: content, "signature": "0" * 128}), "sgx")
