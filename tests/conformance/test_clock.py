"""Evidence is valid from the latest beginning to the earliest end of all its parts, edges included.

Each window in turn is made the narrowest of all, and judged at and around both of its edges.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest

from blindai_async.attestation import verify_dcap_attestation
from blindai_async.errors import NotAnEnclaveError, QuoteValidationError

if TYPE_CHECKING:
    from .conftest import Case, Platforms

SECOND = timedelta(seconds=1)
TICK = timedelta(microseconds=1)

WINDOWS = [
    pytest.param("pki.root", "not_before", "not_after", NotAnEnclaveError, 3, id="root"),
    pytest.param("pki.intermediate", "not_before", "not_after", NotAnEnclaveError, 3, id="CA"),
    pytest.param("pki.pck", "not_before", "not_after", NotAnEnclaveError, 3, id="PCK"),
    pytest.param("crls.root", "last_update", "next_update", NotAnEnclaveError, 4, id="root CRL"),
    pytest.param("crls.pck", "last_update", "next_update", NotAnEnclaveError, 4, id="PCK CRL"),
    pytest.param(
        "pki.tcb_signer", "not_before", "not_after", QuoteValidationError, 5, id="TCB signer"
    ),
    pytest.param("tcb_info", "issue_date", "next_update", QuoteValidationError, 5, id="TCB info"),
    pytest.param(
        "qe_identity", "issue_date", "next_update", QuoteValidationError, 6, id="QE identity"
    ),
]


@pytest.mark.parametrize(("piece", "first", "last", "error", "step"), WINDOWS)
def test_every_window_counts_from_edge_to_edge(
    platforms: Platforms,
    piece: str,
    first: str,
    last: str,
    error: type[QuoteValidationError],
    step: int,
) -> None:
    now = platforms.sound[3].now
    start, end = now - 5 * SECOND, now + 7 * SECOND
    case = platforms.case({f"{piece}.{first}": start, f"{piece}.{last}": end})
    for inside in (start, start + TICK, now, end - TICK, end):
        claims = case.but(at=inside).verify()
        assert (claims.valid_from, claims.valid_until) == (start, end)
    for before in (start - TICK, start - SECOND):
        assert "is not valid before" in str(case.but(at=before).refusal(error, step))
    for after in (end + TICK, end + SECOND):
        assert "has expired at" in str(case.but(at=after).refusal(error, step))


def test_the_real_evidence_counts_from_edge_to_edge(real: Case) -> None:
    claims = real.verify()
    for inside in (claims.valid_from, claims.valid_until):
        assert real.but(at=inside).verify() == claims
    real.but(at=claims.valid_from - TICK).refusal(NotAnEnclaveError, 3)
    real.but(at=claims.valid_until + TICK).refusal(NotAnEnclaveError, 4)
    # Both dates of the collateral lie on the same day: before issueDate there is no valid PCK.
    real.but(at=datetime(2022, 8, 23, 9, 6, 28, tzinfo=UTC)).refusal(NotAnEnclaveError, 3)


def test_the_time_zone_of_the_caller_does_not_matter(sound: Case) -> None:
    claims = sound.verify()
    zone = timezone(timedelta(hours=-9, minutes=-30))
    assert sound.but(at=claims.valid_until.astimezone(zone)).verify() == claims


def test_a_time_without_zone_is_refused_not_guessed(sound: Case) -> None:
    with pytest.raises(ValueError, match="has no time zone"):
        sound.but(at=datetime(2026, 1, 15)).verify()  # noqa: DTZ001 - what is to be refused


def test_the_present_is_the_default(platforms: Platforms) -> None:
    case = platforms.case()
    with pytest.raises(NotAnEnclaveError, match="has expired"):
        verify_dcap_attestation(
            case.quote, case.collateral, case.enclave_held_data, trust_root=case.trust_root
        )
