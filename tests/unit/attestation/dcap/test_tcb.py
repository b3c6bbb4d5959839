"""Statuses and levels: how they are matched and merged."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blindai_async.attestation.dcap.tcb import (
    PlatformTcb,
    PlatformTcbLevel,
    QeTcbLevel,
    TcbStatus,
    matching_platform_level,
    matching_qe_level,
    merge_statuses,
    parse_status,
)
from blindai_async.attestation.parsing import EvidenceError

DATE = datetime(2026, 1, 1, tzinfo=UTC)
UP, SW, CONFIG, BOTH, OUT, OUT_CONFIG, REVOKED, UNKNOWN = TcbStatus


@pytest.mark.parametrize(
    ("platform", "quoting_enclave", "merged"),
    [
        (UP, OUT, OUT),
        (SW, OUT, OUT),
        (CONFIG, OUT, OUT_CONFIG),
        (BOTH, OUT, OUT_CONFIG),
        (OUT, OUT, OUT),
        (OUT_CONFIG, OUT, OUT_CONFIG),
        (REVOKED, OUT, REVOKED),
        (UP, SW, SW),
        (SW, CONFIG, BOTH),
        (OUT, CONFIG, OUT_CONFIG),
    ],
)
def test_the_documented_cases(
    platform: TcbStatus, quoting_enclave: TcbStatus, merged: TcbStatus
) -> None:
    assert merge_statuses(platform, quoting_enclave) is merged


@pytest.mark.parametrize(("one", "other"), list(product(TcbStatus, TcbStatus)))
def test_merging_never_makes_anything_better(one: TcbStatus, other: TcbStatus) -> None:
    merged = merge_statuses(one, other)
    assert merged is merge_statuses(other, one)
    assert merge_statuses(merged, one) is merged
    assert (merged is UP) == (one is UP and other is UP)
    assert (merged in {UP, SW}) == ({one, other} <= {UP, SW})
    assert (merged is REVOKED) == (REVOKED in {one, other})
    assert merge_statuses(one, UP) is one


def test_statuses_are_spelled_as_in_the_collateral() -> None:
    for status in TcbStatus:
        if status is not UNKNOWN:
            assert parse_status(status.value) is status
    for other in ("Unknown", "uptodate", "UpToDate ", "", None, 0, ["UpToDate"], {}):
        with pytest.raises(EvidenceError):
            parse_status(other)


@given(st.binary(min_size=16, max_size=16), st.binary(min_size=16, max_size=16), st.integers(0, 9))
def test_a_level_is_reached_by_every_component(own: bytes, least: bytes, pce_svn: int) -> None:
    reached = all(a >= b for a, b in zip(own, least, strict=True)) and pce_svn >= 5
    assert PlatformTcb(own, pce_svn).reaches(PlatformTcb(least, 5)) == reached


def test_the_first_reached_level_counts() -> None:
    levels = [PlatformTcbLevel(PlatformTcb(bytes([n] * 16), n), UP, DATE, ()) for n in (9, 5, 5, 1)]
    assert matching_platform_level(levels, PlatformTcb(bytes([7] * 16), 7)) is levels[1]
    assert matching_platform_level(levels, PlatformTcb(bytes([9] * 16), 4)) is levels[3]
    assert matching_platform_level(levels, PlatformTcb(bytes([0] * 16), 9)) is None
    qe_levels = [QeTcbLevel(n, UP, DATE, ()) for n in (8, 6, 6, 2)]
    assert matching_qe_level(qe_levels, 7) is qe_levels[1]
    assert matching_qe_level(qe_levels, 8) is qe_levels[0]
    assert matching_qe_level(qe_levels, 1) is None
