"""The evidence of a real enclave, made in August 2022 by a 0.5 server."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from blindai_async.attestation import (
    BUILT_IN_POLICY,
    DcapClaims,
    Policy,
    TcbStatus,
    enclave_signing_key,
    verify_claims,
)
from blindai_async.errors import EnclaveHeldDataError, IdentityError, NotAnEnclaveError

if TYPE_CHECKING:
    from .conftest import Case


def test_it_holds_on_the_day_after(real: Case) -> None:
    claims = real.verify()
    assert claims.verified
    assert claims.mr_enclave.hex() == (
        "56964b3ed1e5533db08200a9fc8085e1baa60d5d9baa27b793792bc74b4c760f"
    )
    assert claims.fmspc.hex() == "30606a000000"
    assert claims.tcb_status is TcbStatus.UP_TO_DATE
    assert claims.tcb_date == datetime(2021, 11, 10, tzinfo=UTC)
    assert claims.advisory_ids == ()
    assert not claims.debug
    assert claims.enclave_held_data == real.enclave_held_data
    assert claims.trust_root == "Intel SGX Root CA"
    assert claims.valid_from == datetime(2022, 8, 23, 9, 17, 19, tzinfo=UTC)
    assert claims.valid_until == datetime(2022, 9, 22, 8, 51, 11, tzinfo=UTC)


def test_it_is_the_enclave_of_its_policy_and_of_no_other(real: Case, real_policy: Policy) -> None:
    claims = real.verify()
    verify_claims(claims, real_policy)
    verify_claims(claims, Policy.for_claims(claims))
    with pytest.raises(IdentityError) as caught:
        verify_claims(claims, BUILT_IN_POLICY)
    assert caught.value.measured_hash == claims.mr_enclave.hex()
    assert caught.value.expected_hash == BUILT_IN_POLICY.mr_enclave.hex()


def test_its_certificate_names_the_signing_key(real: Case) -> None:
    assert enclave_signing_key(real.enclave_held_data).hex() == (
        "9d338a4e1a09736adf5a1b07c9ff370a14407fd0c0fc430fd29e8a4777c925b8"
    )


@pytest.mark.parametrize(
    ("at", "step", "reason"),
    [
        (datetime(2022, 4, 15, tzinfo=UTC), 3, "not valid before 2022-08-23 09:17:19"),
        (datetime(2022, 9, 23, tzinfo=UTC), 4, "has expired at 2022-09-22 08:51:11"),
        (datetime(2026, 11, 23, tzinfo=UTC), 4, "has expired at 2023-04-19 08:31:18"),
    ],
    ids=["before it was issued", "after it expired", "years later"],
)
def test_it_does_not_hold_at_other_times(real: Case, at: datetime, step: int, reason: str) -> None:
    assert reason in str(real.but(at=at).refusal(NotAnEnclaveError, step))


def test_it_does_not_hold_now(real: Case) -> None:
    real.but(at=None).refusal(NotAnEnclaveError, 4)


def test_it_does_not_speak_for_another_certificate(real: Case) -> None:
    other = real.enclave_held_data[:-1] + b"\0"
    error = real.but(enclave_held_data=other).refusal(EnclaveHeldDataError, 12)
    assert isinstance(error, EnclaveHeldDataError)
    assert error.expected_hash != error.measured_hash


def test_its_claims_survive_pickling_and_json(real: Case) -> None:
    claims = real.verify()
    assert pickle.loads(pickle.dumps(claims)) == claims
    assert DcapClaims.model_validate_json(claims.model_dump_json()) == claims


def test_the_pck_chain_of_the_quote_serves_where_the_collateral_has_none(real: Case) -> None:
    assert real.but(pck_certificate="", pck_signing_chain="").verify() == real.verify()
