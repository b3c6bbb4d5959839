"""What every parser shares: quoting text from outside, and reading its times."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from blindai_async.attestation.parsing import EvidenceError, excerpt, parse_timestamp


@given(st.text() | st.lists(st.integers()) | st.none())
def test_text_from_outside_is_quoted_short_and_harmless(text: object) -> None:
    quoted = excerpt(text)
    assert quoted.isascii()
    assert quoted.isprintable()
    assert len(quoted) < 60


def test_short_text_stays_readable() -> None:
    assert excerpt("OutOfDate") == "'OutOfDate'"
    assert excerpt("x" * 1000).startswith("'xxxx")


@given(st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31)))  # noqa: DTZ001 - naive on purpose
def test_times_are_read_back(moment: datetime) -> None:
    moment = moment.replace(microsecond=0, tzinfo=UTC)
    text = moment.isoformat().replace("+00:00", "Z")
    assert parse_timestamp(text) == moment


@given(st.text(alphabet="0123456789-:TZ+. ", max_size=25) | st.none() | st.integers())
def test_anything_else_is_refused(text: object) -> None:
    try:
        parsed = parse_timestamp(text)
    except EvidenceError:
        return
    assert parsed.isoformat().replace("+00:00", "Z") == text
