"""Verified claims against a policy: every check, its error, and the order of them."""

from __future__ import annotations

from typing import Any

import pytest

from blindai_async.attestation import DcapClaims, Outcome, Policy, TcbStatus, verify_claims
from blindai_async.errors import (
    AttestationError,
    DebugNotAllowedError,
    IdentityError,
    QuoteValidationError,
    TcbStatusError,
)


@pytest.fixture
def policy(claims: DcapClaims) -> Policy:
    """The policy that accepts exactly `claims`."""
    return Policy.for_claims(claims)


def flags(value: int, xfrm: int = 0xE7) -> bytes:
    return value.to_bytes(8, "little") + xfrm.to_bytes(8, "little")


DEBUG = {"debug": True, "attributes": flags(0x7)}

REFUSED: list[Any] = [
    ({"tcb_status": TcbStatus.OUT_OF_DATE}, {}, TcbStatusError),
    ({"tcb_status": TcbStatus.CONFIGURATION_NEEDED}, {}, TcbStatusError),
    ({"tcb_status": TcbStatus.REVOKED}, {}, TcbStatusError),
    ({"tcb_status": TcbStatus.UNKNOWN}, {}, TcbStatusError),
    ({}, {"accepted_tcb_statuses": frozenset({TcbStatus.OUT_OF_DATE})}, TcbStatusError),
    (
        {"advisory_ids": ("INTEL-SA-1", "INTEL-SA-2")},
        {"allowed_advisories": frozenset({"INTEL-SA-1"})},
        TcbStatusError,
    ),
    ({"mr_enclave": bytes(32)}, {}, IdentityError),
    ({"mr_signer": bytes(32)}, {}, IdentityError),
    (DEBUG, {}, DebugNotAllowedError),
    ({"attributes": flags(0x4)}, {}, AttestationError),  # not initialised
    ({"attributes": flags(0x1)}, {}, AttestationError),
    ({"attributes": flags(0x15)}, {}, AttestationError),
    ({"attributes": flags(0x5, xfrm=0x1)}, {}, AttestationError),
    ({"attributes": flags(0x5, xfrm=0x10E7)}, {}, AttestationError),
    ({"misc_select": 1}, {}, AttestationError),
    ({"isv_prod_id": 99}, {}, AttestationError),
    ({"isv_svn": 0}, {"min_isv_svn": 1}, AttestationError),
    ({}, {"attributes_mask_flags": 0}, AttestationError),  # INIT is always expected
]


@pytest.mark.parametrize(("claimed", "demanded", "error"), REFUSED)
def test_each_difference_is_refused_with_its_error(
    claims: DcapClaims,
    policy: Policy,
    claimed: dict[str, Any],
    demanded: dict[str, Any],
    error: type[AttestationError],
) -> None:
    other, stricter = claims.model_copy(update=claimed), policy.model_copy(update=demanded)
    with pytest.raises(AttestationError) as caught:
        verify_claims(other, stricter)
    assert type(caught.value) is error
    assert (caught.value.claims, caught.value.policy) == (other, stricter)


@pytest.mark.parametrize(
    ("claimed", "demanded"),
    [
        ({}, {}),
        ({"tcb_status": TcbStatus.SW_HARDENING_NEEDED}, {}),
        (
            {"tcb_status": TcbStatus.OUT_OF_DATE},
            {"accepted_tcb_statuses": frozenset({TcbStatus.OUT_OF_DATE})},
        ),
        (
            {"advisory_ids": ("INTEL-SA-1",)},
            {"allowed_advisories": frozenset({"INTEL-SA-1", "INTEL-SA-2"})},
        ),
        ({}, {"allowed_advisories": frozenset()}),
        ({"advisory_ids": ("INTEL-SA-1",)}, {}),
        (DEBUG, {"allow_debug": True}),
        ({"attributes": flags(0x5, xfrm=0x3)}, {}),
        ({}, {"attributes_flags": 0x4}),
        ({"isv_svn": 9}, {}),
        ({"mr_signer": bytes(32)}, {"mr_signer": None}),
        ({"isv_prod_id": 99}, {"isv_prod_id": None}),
        ({"isv_svn": 0}, {"min_isv_svn": None}),
        ({"misc_select": 1}, {"misc_mask": 0}),
    ],
)
def test_what_the_policy_allows_is_accepted(
    claims: DcapClaims, policy: Policy, claimed: dict[str, Any], demanded: dict[str, Any]
) -> None:
    verify_claims(claims.model_copy(update=claimed), policy.model_copy(update=demanded))


def test_the_checks_come_in_the_documented_order(claims: DcapClaims, policy: Policy) -> None:
    wrong: list[tuple[dict[str, object], type[AttestationError]]] = [
        ({"tcb_status": TcbStatus.OUT_OF_DATE}, TcbStatusError),
        ({"mr_enclave": bytes(32)}, IdentityError),
        (DEBUG, DebugNotAllowedError),
        ({"attributes": flags(0x17)}, AttestationError),
    ]
    demanded = policy.model_copy(update={"min_isv_svn": 65535})
    for first, (_, error) in enumerate(wrong):
        update = {key: value for fields, _ in wrong[first:] for key, value in fields.items()}
        with pytest.raises(AttestationError) as caught:
            verify_claims(claims.model_copy(update=update), demanded)
        assert type(caught.value) is error


def test_identity_errors_tell_both_measurements(claims: DcapClaims, policy: Policy) -> None:
    with pytest.raises(IdentityError) as caught:
        verify_claims(claims.model_copy(update={"mr_signer": bytes(32)}), policy)
    assert caught.value.expected_hash == claims.mr_signer.hex()
    assert caught.value.measured_hash == "00" * 32


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.NOT_REACHED])
def test_claims_that_are_not_proven_are_never_accepted(
    claims: DcapClaims, policy: Policy, outcome: Outcome
) -> None:
    last = type(claims.steps[11])(12, claims.steps[11].name, outcome)
    for steps in ((), claims.steps[:11], (*claims.steps[:11], last)):
        with pytest.raises(QuoteValidationError, match="not proven"):
            verify_claims(claims.model_copy(update={"steps": steps}), policy)
