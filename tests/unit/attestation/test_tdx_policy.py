"""Policies for TDX trust domains, and what both kinds of policy have in common."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tdx_builder import ATTRIBUTES, NOW, TdxBuilder

from blindai_async.attestation import (
    AnyOfPolicy,
    Claims,
    DcapClaims,
    Policy,
    PolicyMatch,
    SgxPolicy,
    TcbStatus,
    TdxClaims,
    TdxPolicy,
    verify_claims,
)
from blindai_async.errors import (
    AttestationError,
    DebugNotAllowedError,
    IdentityError,
    PolicyFormatError,
    TcbStatusError,
)

BUILDER = TdxBuilder(version=5)
TDX = BUILDER.verify()
OTHER = "ab" * 48
PIN = {"tee": "tdx", "mr_td": OTHER}


def octets(value: int) -> bytes:
    return value.to_bytes(8, "little")


@pytest.fixture
def policy() -> TdxPolicy:
    """The policy that accepts exactly `TDX`."""
    policy = Policy.for_claims(TDX)
    assert isinstance(policy, TdxPolicy)
    return policy


def test_its_own_policy_pins_everything_and_comes_back_from_its_file(policy: TdxPolicy) -> None:
    assert isinstance(TDX, TdxClaims)
    assert policy.mr_td == (TDX.mr_td,)
    assert (policy.rtmr0, policy.rtmr3) == ((TDX.rtmrs[0],), (TDX.rtmrs[3],))
    assert Policy.from_str(policy.to_toml()) == policy
    assert 'tee = "tdx"' in policy.to_toml()
    assert verify_claims(TDX, policy) is TDX


def test_the_kind_of_a_file_without_tee_is_sgx(claims: DcapClaims) -> None:
    text = Policy.for_claims(claims).to_toml()
    assert "tee" not in text
    assert isinstance(Policy.from_str(text), SgxPolicy)
    assert isinstance(Policy.from_str('tee = "sgx"\n' + text), SgxPolicy)
    assert isinstance(Policy(**PIN), TdxPolicy)
    for wrong in ("sev", "TDX", 1, ["tdx"], {}):
        with pytest.raises(PolicyFormatError, match="tee") as caught:
            Policy.from_dict({**PIN, "tee": wrong})
        assert caught.value.key == "tee"


REFUSED: list[Any] = [
    ({"mr_td": bytes(48)}, {}, IdentityError),
    *(
        (
            {"rtmrs": tuple(bytes(48) if i == n else r for i, r in enumerate(TDX.rtmrs))},
            {},
            IdentityError,
        )
        for n in range(4)
    ),
    ({}, {"mr_seam": (bytes(48),)}, IdentityError),
    ({"mr_config_id": bytes(48)}, {}, IdentityError),
    ({"mr_owner": bytes(48)}, {}, IdentityError),
    ({"mr_owner_config": bytes(48)}, {}, IdentityError),
    ({"debug": True}, {}, DebugNotAllowedError),
    ({"td_attributes": octets(ATTRIBUTES | 1 << 63)}, {}, AttestationError),
    ({"xfam": octets(0)}, {}, AttestationError),
    ({"td_attributes": octets(0)}, {"td_attributes": None}, AttestationError),
    ({"td_attributes": octets(ATTRIBUTES | 1 << 29)}, {"td_attributes": None}, AttestationError),
    ({"mr_service_td": b"\1" * 48}, {}, AttestationError),
    ({"tcb_status": TcbStatus.TD_RELAUNCH_ADVISED}, {}, TcbStatusError),
    ({"tcb_status": TcbStatus.TD_RELAUNCH_ADVISED_CONFIGURATION_NEEDED}, {}, TcbStatusError),
    (
        {"advisory_ids": ("INTEL-SA-1",)},
        {"denied_advisories": frozenset({"INTEL-SA-1"})},
        TcbStatusError,
    ),
    ({}, {"min_tcb_evaluation_data_number": 18}, AttestationError),
    ({}, {"allowed_ppids": frozenset({bytes(16)})}, AttestationError),
    ({}, {"require_fresh": True}, AttestationError),
]


@pytest.mark.parametrize(("claimed", "demanded", "error"), REFUSED)
def test_each_difference_is_refused_with_its_error(
    policy: TdxPolicy, claimed: dict[str, Any], demanded: dict[str, Any], error: type[Exception]
) -> None:
    other, stricter = TDX.model_copy(update=claimed), policy.model_copy(update=demanded)
    with pytest.raises(AttestationError) as caught:
        verify_claims(other, stricter)
    assert type(caught.value) is error
    assert (caught.value.claims, caught.value.policy) == (other, stricter)
    assert TDX.ppid.hex() not in str(caught.value)


@pytest.mark.parametrize(
    ("claimed", "demanded"),
    [
        ({"debug": True}, {"allow_debug": True}),
        ({"td_attributes": octets(0)}, {"td_attributes": None, "require_sept_ve_disable": False}),
        (
            {"td_attributes": octets(ATTRIBUTES | 1 << 29)},
            {"td_attributes": None, "allow_migratable": True},
        ),
        (
            {"td_attributes": octets(ATTRIBUTES | 1 << 63)},
            {"td_attributes_mask": octets(ATTRIBUTES)},
        ),
        ({"mr_service_td": b"\1" * 48}, {"allow_service_td": True}),
        ({"mr_service_td": None}, {}),
        ({"mr_td": bytes(48)}, {"mr_td": (b"\1" * 48, bytes(48))}),
        ({"mr_td": bytes(48)}, {"mr_td": None}),
        ({"mr_owner": bytes(48)}, {"mr_owner": None}),
        ({"fresh": True}, {"require_fresh": True}),
        ({}, {"min_tcb_evaluation_data_number": 17}),
        ({}, {"allowed_ppids": frozenset({TDX.ppid})}),
        ({}, {"denied_advisories": frozenset({"INTEL-SA-1"})}),
        (
            {"tcb_status": TcbStatus.TD_RELAUNCH_ADVISED},
            {"accepted_tcb_statuses": frozenset({TcbStatus.TD_RELAUNCH_ADVISED})},
        ),
    ],
)
def test_what_the_policy_allows_is_accepted(
    policy: TdxPolicy, claimed: dict[str, Any], demanded: dict[str, Any]
) -> None:
    verify_claims(TDX.model_copy(update=claimed), policy.model_copy(update=demanded))


@pytest.mark.parametrize(("days", "accepted"), [(0, False), (99, False), (100, True), (3660, True)])
def test_an_outdated_platform_may_have_days_of_grace(
    policy: TdxPolicy, days: int, accepted: bool
) -> None:
    date = NOW - timedelta(days=100)
    lenient = policy.model_copy(update={"tcb_grace_days": days})
    outdated = TDX.model_copy(update={"tcb_status": TcbStatus.OUT_OF_DATE, "tcb_date": date})
    if accepted:
        assert verify_claims(outdated, lenient, at=NOW) is outdated
        later = NOW + timedelta(days=days - 100, seconds=1)
        with pytest.raises(TcbStatusError):
            verify_claims(outdated, lenient, at=later)
    else:
        with pytest.raises(TcbStatusError):
            verify_claims(outdated, lenient, at=NOW)
    for status in (TcbStatus.OUT_OF_DATE_CONFIGURATION_NEEDED, TcbStatus.TD_RELAUNCH_ADVISED):
        with pytest.raises(TcbStatusError):
            verify_claims(outdated.model_copy(update={"tcb_status": status}), lenient, at=NOW)


def test_a_policy_of_the_other_kind_refuses(claims: DcapClaims, policy: TdxPolicy) -> None:
    with pytest.raises(AttestationError, match="an SGX enclave; the policy accepts a TDX"):
        verify_claims(claims, policy)
    with pytest.raises(AttestationError, match="a TDX trust domain; the policy accepts an SGX"):
        verify_claims(TDX, Policy.for_claims(claims))


@pytest.mark.parametrize(
    ("content", "key", "reason"),
    [
        ({"tee": "tdx"}, "", "anybody's TD"),
        ({"tee": "tdx", "mr_seam": OTHER}, "", "anybody's TD"),
        ({**PIN, "mr_td": "ab" * 32}, "mr_td", "96 hex digits"),
        ({**PIN, "mr_td": []}, "mr_td", "one value"),
        ({**PIN, "rtmr2": [OTHER, 7]}, "rtmr2", "96 hex digits"),
        ({**PIN, "rtmr4": OTHER}, "rtmr4", "Extra"),
        ({**PIN, "mr_enclave": "ab" * 32}, "mr_enclave", "Extra"),
        ({**PIN, "td_attributes": "10000000"}, "td_attributes", "16 hex digits"),
        ({**PIN, "td_attributes": "0x1_0"}, "td_attributes", "16 hex digits"),
        ({**PIN, "td_attributes": "0x" + "1" * 17}, "td_attributes", "16 hex digits"),
        ({**PIN, "td_attributes": 1}, "td_attributes", "16 hex digits"),
        ({**PIN, "xfam_mask": "0x3"}, "", "absent"),
        ({**PIN, "xfam": "0x4", "xfam_mask": "0x3"}, "", "leaves out"),
        ({**PIN, "allow_debug": "no"}, "allow_debug", "boolean"),
        ({**PIN, "require_fresh": 1}, "require_fresh", "boolean"),
        ({**PIN, "tcb_grace_days": -1}, "tcb_grace_days", "greater"),
        ({**PIN, "tcb_grace_days": 1.5}, "tcb_grace_days", "integer"),
        ({**PIN, "min_tcb_evaluation_data_number": "17"}, "min_tcb_evaluation_data_number", "int"),
        ({**PIN, "allowed_ppids": []}, "allowed_ppids", "one PPID"),
        ({**PIN, "allowed_ppids": ["ab"]}, "allowed_ppids", "32 hex digits"),
        ({**PIN, "denied_advisories": "INTEL-SA-1"}, "denied_advisories", "list"),
        ({**PIN, "name": 'quo"te'}, "name", "pattern"),
        ({**PIN, "accepted_tcb_statuses": ["Revoked"]}, "accepted_tcb_statuses", "TDRelaunch"),
    ],
)
def test_a_wrong_value_is_refused_by_its_key(
    content: dict[str, Any], key: str, reason: str
) -> None:
    with pytest.raises(PolicyFormatError, match=reason) as caught:
        Policy.from_dict(content)
    assert caught.value.key == key


def test_attributes_are_written_as_in_a_report_or_as_a_number() -> None:
    as_in_report = Policy.from_dict({**PIN, "td_attributes": "0000001000000000"})
    as_number = Policy.from_dict({**PIN, "td_attributes": "0x10000000"})
    assert as_in_report == as_number
    assert isinstance(as_number, TdxPolicy)
    assert as_number.td_attributes == octets(1 << 28)


EVERYTHING = {
    **PIN,
    "name": "release 1.2",
    "mr_td": [OTHER, "cd" * 48],
    "rtmr1": "12" * 48,
    "mr_seam": "34" * 48,
    "td_attributes": "0x10000000",
    "td_attributes_mask": "0xffffffff",
    "xfam": "0x3",
    "allow_debug": True,
    "allow_service_td": True,
    "require_sept_ve_disable": False,
    "allow_migratable": True,
    "accepted_tcb_statuses": ["UpToDate", "TDRelaunchAdvised"],
    "tcb_grace_days": 30,
    "allowed_advisories": ["INTEL-SA-00615"],
    "denied_advisories": ["INTEL-SA-00001"],
    "min_tcb_evaluation_data_number": 17,
    "allowed_ppids": ["00ff" * 8],
    "require_fresh": True,
}


def test_what_is_written_is_read() -> None:
    policy = Policy.from_dict(EVERYTHING)
    assert Policy.from_str(policy.to_toml()) == policy
    assert "00ff" not in repr(policy)
    both = Policy.any_of(policy, Policy.from_dict({**PIN, "rtmr3": OTHER}))
    assert both.to_toml().count("[[enclave]]") == 2
    assert Policy.from_str(both.to_toml()) == both
    assert isinstance(both, AnyOfPolicy)


class TestSeveralEntries:
    """Rollovers: the old and the new enclave, of either kind."""

    def test_the_first_entry_that_accepts_is_named(
        self, claims: DcapClaims, policy: TdxPolicy
    ) -> None:
        named = policy.model_copy(update={"name": "new"})
        rollover = Policy.any_of(Policy.for_claims(claims), Policy.from_dict(PIN), named)
        accepted = verify_claims(TDX, rollover)
        assert accepted.matched == PolicyMatch(2, "new")
        assert accepted.model_copy(update={"matched": None}) == TDX
        assert verify_claims(claims, rollover).matched == PolicyMatch(0, "")

    def test_policies_of_several_entries_are_flattened(self, policy: TdxPolicy) -> None:
        inner = Policy.any_of(Policy.from_dict(PIN), policy)
        assert len(Policy.any_of(inner, policy).entries) == 3
        assert policy.entries == (policy,)

    def test_one_entry_is_a_policy_of_entries_too(self, policy: TdxPolicy) -> None:
        assert verify_claims(TDX, Policy.any_of(policy)).matched == PolicyMatch(0)

    @pytest.mark.parametrize("order", [1, -1])
    def test_the_refusal_is_of_the_entry_that_comes_closest(
        self, claims: DcapClaims, policy: TdxPolicy, order: int
    ) -> None:
        strict = policy.model_copy(update={"require_fresh": True})
        entries = [Policy.for_claims(claims), Policy.from_dict(PIN), strict][::order]
        rollover = Policy.any_of(*entries)
        with pytest.raises(AttestationError, match="No entry of the policy accepts it") as caught:
            verify_claims(TDX, rollover)
        assert type(caught.value) is AttestationError
        assert caught.value.policy is rollover
        for reason in ("an SGX enclave", "MRTD", "no fresh quote", "entry 0", "entry 2"):
            assert reason in str(caught.value)
        with pytest.raises(IdentityError):
            verify_claims(TDX, Policy.any_of(*entries[::order][:2]))

    @pytest.mark.parametrize(
        ("content", "key"),
        [
            ({"enclave": []}, "enclave"),
            ({"enclave": {}}, "enclave"),
            ({"enclave": [PIN] * 65}, "enclave"),
            ({"enclave": [PIN, 7]}, "enclave"),
            ({"enclave": [PIN], "allow_debug": True}, "allow_debug"),
            ({"enclave": [PIN, {**PIN, "rtmr9": OTHER}]}, "rtmr9"),
            ({"enclave": [{"enclave": [PIN]}]}, "enclave"),
        ],
    )
    def test_what_is_wrong_with_a_file_is_named(self, content: dict[str, Any], key: str) -> None:
        with pytest.raises(PolicyFormatError) as caught:
            Policy.from_dict(content)
        assert caught.value.key == key

    def test_no_entry_accepts_nothing_silently(self) -> None:
        with pytest.raises(ValueError, match="at least 1"):
            Policy.any_of()


def test_claims_that_are_not_proven_are_accepted_by_no_entry(policy: TdxPolicy) -> None:
    unproven: Claims = TDX.model_copy(update={"steps": TDX.steps[:11]})
    for demanded in (policy, Policy.any_of(policy, policy)):
        with pytest.raises(AttestationError, match="not proven"):
            verify_claims(unproven, demanded)
