"""Every byte of the evidence counts: flipped, it is refused or changes nothing.

A sample of the bytes is flipped here; ``BLINDAI_ASYNC_ALL_FLIPS=1`` flips every one of them.
"""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING

import pytest

from blindai_async.attestation import SgxCollateral
from blindai_async.errors import BlindAIError, EnclaveHeldDataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from blindai_async.attestation import DcapClaims

    from .conftest import Case

ALL = os.environ.get("BLINDAI_ASYNC_ALL_FLIPS") == "1"
SAMPLE = 60
TEXTS = [name for name, field in SgxCollateral.model_fields.items() if field.annotation is str]
MASKS = (0x01, 0x20, 0x80, 0xFF)


def positions(length: int) -> Iterable[int]:
    return range(length) if ALL else sorted(random.Random(length).sample(range(length), SAMPLE))


def flips(data: bytes) -> Iterator[bytes]:
    chance = random.Random(len(data))
    for position in positions(len(data)):
        flipped = bytearray(data)
        flipped[position] ^= chance.choice(MASKS)
        yield bytes(flipped)


def outcome(case: Case) -> DcapClaims | None:
    """The claims, or None where the evidence is refused; anything else fails the test."""
    try:
        return case.verify()
    except BlindAIError:
        return None


@pytest.fixture(params=["real", "emulated"])
def case(request: pytest.FixtureRequest) -> Case:
    if request.param == "real":
        return request.getfixturevalue("real")
    return request.getfixturevalue("platforms").case(version=3)


def test_flipped_quotes_never_say_something_else(case: Case) -> None:
    true_claims = case.verify()
    outcomes = [outcome(case.but(quote=quote)) for quote in flips(case.quote)]
    assert all(claims in (None, true_claims) for claims in outcomes)
    assert outcomes.count(None) > len(outcomes) / 2


@pytest.mark.parametrize("name", TEXTS)
def test_flipped_collateral_never_says_something_else(case: Case, name: str) -> None:
    true_claims = case.verify()
    outcomes = [
        outcome(case.but(**{name: flipped.decode("latin-1")}))
        for flipped in flips(getattr(case.collateral, name).encode())
    ]
    assert all(claims in (None, true_claims) for claims in outcomes)
    assert outcomes.count(None) > len(outcomes) / 2


def test_flipped_held_data_are_refused(case: Case) -> None:
    data = case.enclave_held_data
    for position in positions(len(data)) if len(data) > SAMPLE else range(len(data)):
        flipped = data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]
        with pytest.raises(EnclaveHeldDataError):
            case.but(enclave_held_data=flipped).verify()


def test_shortened_and_lengthened_quotes_are_refused(case: Case) -> None:
    for length in positions(len(case.quote)):
        assert outcome(case.but(quote=case.quote[:length])) is None
    assert outcome(case.but(quote=case.quote + b"\0")) is None
