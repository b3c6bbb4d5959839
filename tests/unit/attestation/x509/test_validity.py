"""The time that evidence is judged at, and the window that all parts share."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from blindai_async.attestation.parsing import EvidenceError
from blindai_async.attestation.x509.validity import Validity, utc

NOW = datetime(2026, 1, 15, tzinfo=UTC)
DAY = timedelta(days=1)


def test_times_are_converted_to_utc() -> None:
    there = timezone(timedelta(hours=5))
    assert utc(datetime(2026, 1, 15, 5, tzinfo=there)) == NOW
    assert utc(datetime(2026, 1, 15, 5, tzinfo=there)).tzinfo is UTC


def test_the_present_is_the_default() -> None:
    before = datetime.now(UTC)
    assert before <= utc(None) <= datetime.now(UTC)


def test_times_that_say_no_moment_are_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        utc(NOW.replace(tzinfo=None))
    for limit, hours in (((9999, 12, 31, 23), -1), ((1, 1, 1, 0), 1)):
        with pytest.raises(ValueError, match="no time in UTC"):
            utc(datetime(*limit, tzinfo=timezone(timedelta(hours=hours))))


def test_the_window_is_what_all_parts_share() -> None:
    validity = Validity(NOW)
    for start, end in ((-9, 3), (-2, 8), (-5, 5)):
        validity.require("a part", NOW + start * DAY, NOW + end * DAY)
    assert validity.valid_from == NOW - 2 * DAY
    assert validity.valid_until == NOW + 3 * DAY


def test_a_part_outside_of_its_window_is_named() -> None:
    validity = Validity(NOW)
    with pytest.raises(EvidenceError, match=r"the list of 'X\\n' is not valid before 2026-01-16"):
        validity.require("the list of", NOW + DAY, NOW + 2 * DAY, of="X\n")
    with pytest.raises(EvidenceError, match="the list has expired at 2026-01-14"):
        validity.require("the list", NOW - 2 * DAY, NOW - DAY)
