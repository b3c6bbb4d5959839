"""TCB statuses: how they are merged, when a relaunch is advised, and who may have which."""

from __future__ import annotations

from itertools import product

import pytest

from blindai_async.attestation.parsing import EvidenceError
from blindai_async.attestation.tcb_status import (
    TcbStatus,
    merge_statuses,
    parse_component_status,
    parse_platform_status,
    relaunch_status,
)

UP, SW, CONFIG, BOTH, OUT, OUT_CONFIG, RELAUNCH, RELAUNCH_CONFIG, REVOKED, UNKNOWN = TcbStatus
MERGED = (UP, SW, CONFIG, BOTH, OUT, OUT_CONFIG, REVOKED)


@pytest.mark.parametrize(
    ("platform", "component", "merged"),
    [
        (UP, OUT, OUT),
        (SW, OUT, OUT),
        (CONFIG, OUT, OUT_CONFIG),
        (BOTH, OUT, OUT_CONFIG),
        (OUT, OUT, OUT),
        (OUT_CONFIG, OUT, OUT_CONFIG),
        (REVOKED, OUT, REVOKED),
        *((status, UP, status) for status in MERGED),
        *((status, REVOKED, REVOKED) for status in MERGED),
    ],
)
def test_the_documented_cases(platform: TcbStatus, component: TcbStatus, merged: TcbStatus) -> None:
    assert merge_statuses(platform, component) is merged


@pytest.mark.parametrize(("one", "other"), list(product(MERGED, MERGED)))
def test_merging_never_makes_anything_better(one: TcbStatus, other: TcbStatus) -> None:
    merged = merge_statuses(one, other)
    assert merged is merge_statuses(other, one)
    assert merge_statuses(merged, one) is merged
    assert (merged is UP) == (one is UP and other is UP)
    assert (merged in {UP, SW}) == ({one, other} <= {UP, SW})
    assert (merged is REVOKED) == (REVOKED in {one, other})


@pytest.mark.parametrize(("launched", "loaded"), list(product(MERGED, MERGED)))
def test_a_relaunch_is_advised_where_it_would_help(launched: TcbStatus, loaded: TcbStatus) -> None:
    expected = REVOKED if loaded is REVOKED else launched
    if launched in {OUT, OUT_CONFIG} and loaded in {UP, SW, CONFIG, BOTH}:
        names_configuration = launched is OUT_CONFIG or loaded in {CONFIG, BOTH}
        expected = RELAUNCH_CONFIG if names_configuration else RELAUNCH
    assert relaunch_status(launched, loaded) is expected


def test_statuses_are_spelled_as_in_the_collateral() -> None:
    assert [parse_platform_status(status.value) for status in MERGED] == list(MERGED)
    assert RELAUNCH == "TDRelaunchAdvised"
    assert RELAUNCH_CONFIG == "TDRelaunchAdvisedConfigurationNeeded"


@pytest.mark.parametrize(
    "text",
    [RELAUNCH, RELAUNCH_CONFIG, UNKNOWN, "uptodate", "UpToDate ", "", None, 0, ["UpToDate"], {}],
)
def test_what_is_no_level_of_a_platform_is_refused(text: object) -> None:
    with pytest.raises(EvidenceError):
        parse_platform_status(text)


def test_an_enclave_or_module_has_one_of_three_statuses() -> None:
    for status in TcbStatus:
        if status in {UP, OUT, REVOKED}:
            assert parse_component_status(status.value) is status
        else:
            with pytest.raises(EvidenceError):
                parse_component_status(status.value)
