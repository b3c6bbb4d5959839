"""TCB levels: which one a platform, an enclave or a TDX module reaches."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blindai_async.attestation import TcbStatus
from blindai_async.attestation.dcap.tcb import (
    IsvSvnLevel,
    PlatformTcb,
    PlatformTcbLevel,
    matching_isv_svn_level,
    matching_platform_level,
)

DATE = datetime(2026, 1, 1, tzinfo=UTC)
UP = TcbStatus.UP_TO_DATE
octets = st.binary(min_size=16, max_size=16)


def tdx_level(*least: int) -> PlatformTcbLevel:
    svns = bytes(least) + bytes(16 - len(least))
    return PlatformTcbLevel(PlatformTcb(bytes(16), 0), svns, UP, DATE, ())


def tee_tcb_svn(*svns: int) -> bytes:
    return bytes(svns) + bytes(16 - len(svns))


@given(octets, octets, st.integers(0, 9))
def test_a_level_is_reached_by_every_component(own: bytes, least: bytes, pce_svn: int) -> None:
    reached = all(a >= b for a, b in zip(own, least, strict=True)) and pce_svn >= 5
    assert PlatformTcb(own, pce_svn).reaches(PlatformTcb(least, 5)) == reached


def test_the_first_reached_level_counts() -> None:
    levels = [
        PlatformTcbLevel(PlatformTcb(bytes([n] * 16), n), b"", UP, DATE, ()) for n in (9, 5, 5, 1)
    ]
    assert matching_platform_level(levels, PlatformTcb(bytes([7] * 16), 7)) is levels[1]
    assert matching_platform_level(levels, PlatformTcb(bytes([9] * 16), 4)) is levels[3]
    assert matching_platform_level(levels, PlatformTcb(bytes([0] * 16), 9)) is None
    enclave_levels = [IsvSvnLevel(n, UP, DATE, ()) for n in (8, 6, 6, 2)]
    assert matching_isv_svn_level(enclave_levels, 7) is enclave_levels[1]
    assert matching_isv_svn_level(enclave_levels, 8) is enclave_levels[0]
    assert matching_isv_svn_level(enclave_levels, 1) is None


def test_the_modules_own_versions_are_not_compared_where_it_has_levels_of_its_own() -> None:
    platform = PlatformTcb(bytes(16), 0)
    # Module SVN 3 of module version 1, and the third version: only the third is the platform's.
    level = tdx_level(5, 2, 3)
    assert matching_platform_level([level], platform, tee_tcb_svn(3, 1, 3)) is level
    assert matching_platform_level([level], platform, tee_tcb_svn(9, 9, 2)) is None
    # Of version 0, the module is judged with the platform: all sixteen count.
    assert matching_platform_level([level], platform, tee_tcb_svn(5, 0, 3)) is None
    old = tdx_level(5, 0, 3)
    assert matching_platform_level([old], platform, tee_tcb_svn(5, 0, 3)) is old
    assert matching_platform_level([old], platform, tee_tcb_svn(4, 0, 3)) is None


@given(octets, octets)
def test_from_the_third_version_on_each_one_counts(own: bytes, least: bytes) -> None:
    level = PlatformTcbLevel(PlatformTcb(bytes(16), 0), least, UP, DATE, ())
    first = 2 if own[1] else 0
    reached = all(a >= b for a, b in zip(own[first:], least[first:], strict=True))
    found = matching_platform_level([level], PlatformTcb(bytes(16), 0), own)
    assert (found is level) == reached


@pytest.mark.parametrize("position", range(2, 16))
def test_one_version_too_low_is_enough(position: int) -> None:
    least = bytearray(16)
    least[position] = 7
    own = bytearray([1, 1, *[9] * 14])
    platform = PlatformTcb(bytes(16), 0)
    assert matching_platform_level([tdx_level(*least)], platform, bytes(own))
    own[position] = 6
    assert matching_platform_level([tdx_level(*least)], platform, bytes(own)) is None
