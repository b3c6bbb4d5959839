"""Policies: the file format, and what is wrong with a file, by key."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from blindai_async.attestation import BUILT_IN_POLICY, DcapClaims, Policy, TcbStatus
from blindai_async.attestation.policy import MAX_POLICY_BYTES
from blindai_async.errors import PolicyFormatError

if TYPE_CHECKING:
    from pathlib import Path

    from blindai_async.server.tee.emulated import EmulatedPlatform

DOCUMENTED = """
mr_enclave = "7d2addfab123c68cccdd9a1b1c5119de0f1bfb8a9b094ba88bc9091440e5a0cf"
misc_select_hex = "0x0"
misc_mask_hex = "0xffffffff"
attributes_flags_hex = "0x4"
attributes_xfrm_hex = "0x3"
attributes_mask_flags_hex = "0xfffffffffffffffd"
attributes_mask_xfrm_hex = "0xffffffffffffff1b"
allow_debug = false
"""
CONTENT = {
    "mr_enclave": "ab" * 32,
    "misc_select_hex": "0x0",
    "misc_mask_hex": "0xffffffff",
    "attributes_flags_hex": "0x4",
    "attributes_xfrm_hex": "0x3",
    "attributes_mask_flags_hex": "0xfffffffffffffffd",
    "attributes_mask_xfrm_hex": "0xffffffffffffff1b",
    "allow_debug": False,
}


def test_the_built_in_policy_is_the_documented_one() -> None:
    assert Policy.from_str(DOCUMENTED) == BUILT_IN_POLICY
    assert Policy.from_str(BUILT_IN_POLICY.to_toml()) == BUILT_IN_POLICY
    assert BUILT_IN_POLICY.accepted_tcb_statuses == {
        TcbStatus.UP_TO_DATE,
        TcbStatus.SW_HARDENING_NEEDED,
    }
    assert BUILT_IN_POLICY.allowed_advisories is None


def test_the_three_sources_agree(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text("# a comment\n" + DOCUMENTED)
    assert Policy.from_file(path) == Policy.from_file(str(path)) == Policy.from_str(DOCUMENTED)
    assert Policy.from_dict(CONTENT).mr_enclave == b"\xab" * 32


def test_a_platforms_own_policy_is_read(platform: EmulatedPlatform) -> None:
    assert Policy.from_str(platform.policy_toml).mr_enclave == platform.mr_enclave


def test_hex_may_be_written_in_several_ways() -> None:
    spelled = {**CONTENT, "mr_enclave": "AB" * 32, "misc_mask_hex": "FFFFFFFF"}
    spelled["attributes_flags_hex"] = "0X0000000000000004"
    assert Policy.from_dict(spelled) == Policy.from_dict(CONTENT)


@given(
    st.builds(
        lambda numbers, short, statuses, advisories, optional, debug: Policy.from_dict(
            {
                **dict(zip(list(CONTENT)[3:7], map(hex, numbers), strict=True)),
                **dict(zip(list(CONTENT)[1:3], map(hex, short), strict=True)),
                "mr_enclave": "00ff" * 16,
                "allow_debug": debug,
                "accepted_tcb_statuses": statuses,
                **({} if advisories is None else {"allowed_advisories": advisories}),
                **optional,
            }
        ),
        st.lists(st.integers(0, 2**64 - 1), min_size=4, max_size=4),
        st.lists(st.integers(0, 2**32 - 1), min_size=2, max_size=2),
        st.sets(st.sampled_from([s.value for s in list(TcbStatus)[:6]]), min_size=1).map(list),
        st.none() | st.lists(st.from_regex(r"INTEL-SA-[0-9]{5}", fullmatch=True), max_size=3),
        st.fixed_dictionaries(
            {},
            optional={
                "mr_signer": st.just("cd" * 32),
                "isv_prod_id": st.integers(0, 65535),
                "min_isv_svn": st.integers(0, 65535),
            },
        ),
        st.booleans(),
    )
)
def test_what_is_written_is_read(policy: Policy) -> None:
    assert Policy.from_str(policy.to_toml()) == policy


@pytest.mark.parametrize("key", CONTENT)
def test_every_key_of_the_format_is_needed(key: str) -> None:
    content = {name: value for name, value in CONTENT.items() if name != key}
    with pytest.raises(PolicyFormatError, match=key) as caught:
        Policy.from_dict(content)
    assert caught.value.key == key


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("mr_enclave", "ab" * 31),
        ("mr_enclave", "ab" * 33),
        ("mr_enclave", "zz" * 32),
        ("mr_enclave", "0x" + "ab" * 32),
        ("mr_enclave", "ab " * 21 + "a"),
        ("mr_enclave", ""),
        ("mr_enclave", 7),
        ("mr_enclave", True),
        ("mr_enclave", ["ab" * 32]),
        ("misc_select_hex", "0x1ffffffff"),
        ("misc_select_hex", "0x"),
        ("misc_select_hex", ""),
        ("misc_select_hex", "-0x1"),
        ("misc_select_hex", "0x1_0"),
        ("misc_select_hex", " 0x1"),
        ("misc_select_hex", "0xg"),
        ("misc_select_hex", "\u0661"),
        ("misc_select_hex", 1),
        ("misc_mask_hex", None),
        ("attributes_flags_hex", "0x1ffffffffffffffff"),
        ("attributes_xfrm_hex", "0x" + "0" * 17),
        ("attributes_mask_flags_hex", 3.0),
        ("attributes_mask_xfrm_hex", []),
        ("allow_debug", "false"),
        ("allow_debug", 0),
        ("allow_debug", "no"),
        ("accepted_tcb_statuses", []),
        ("accepted_tcb_statuses", "UpToDate"),
        ("accepted_tcb_statuses", ["Revoked"]),
        ("accepted_tcb_statuses", ["UpToDate", "Revoked"]),
        ("accepted_tcb_statuses", ["Unknown"]),
        ("accepted_tcb_statuses", ["uptodate"]),
        ("accepted_tcb_statuses", [1]),
        ("accepted_tcb_statuses", [["UpToDate"]]),
        ("allowed_advisories", "INTEL-SA-00615"),
        ("allowed_advisories", [1]),
        ("allowed_advisories", ['"']),
        ("allowed_advisories", ["a" * 65]),
        ("mr_signer", "ab"),
        ("isv_prod_id", -1),
        ("isv_prod_id", 65536),
        ("isv_prod_id", "1"),
        ("isv_prod_id", True),
        ("min_isv_svn", 1.0),
        ("min_isv_svn", 65536),
    ],
)
def test_a_wrong_value_is_refused_by_its_key(key: str, value: object) -> None:
    with pytest.raises(PolicyFormatError, match=key) as caught:
        Policy.from_dict({**CONTENT, key: value})
    assert caught.value.key == key
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("key", ["mr_enclav", "misc_select", "debug", "accepted", "", "\n"])
def test_an_unknown_key_is_refused_before_a_missing_one(key: str) -> None:
    for content in ({**CONTENT, key: "x"}, {key: "x"}):
        with pytest.raises(PolicyFormatError) as caught:
            Policy.from_dict(content)
        assert caught.value.key == key
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "mr_enclave",
        "{}",
        "[" * 5000,
        "a = " + "[" * 5000,
        DOCUMENTED + DOCUMENTED,
        "x = " + "9" * 5000,
        "x = 2026-02-30",
        "\0",
        "x = '" + "y" * MAX_POLICY_BYTES + "'",
    ],
    ids=["bare", "braces", "table", "nesting", "twice", "digits", "date", "NUL", "long"],
)
def test_what_is_not_toml_is_refused(text: str) -> None:
    with pytest.raises(PolicyFormatError):
        Policy.from_str(text)


def test_files_that_cannot_be_policies(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Policy.from_file(tmp_path / "missing.toml")
    path = tmp_path / "policy.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(PolicyFormatError, match="UTF-8"):
        Policy.from_file(path)
    path.write_bytes(b"#" * (MAX_POLICY_BYTES + 1))
    with pytest.raises(PolicyFormatError, match="more than"):
        Policy.from_file(path)


@given(st.text(max_size=200))
def test_arbitrary_text_raises_nothing_else(text: str) -> None:
    for candidate in (text, DOCUMENTED + text):
        try:
            Policy.from_str(candidate)
        except PolicyFormatError:
            continue


def test_a_policy_of_claims_needs_verified_ones(claims: DcapClaims) -> None:
    policy = Policy.for_claims(claims)
    assert policy.mr_enclave == claims.mr_enclave
    assert policy.mr_signer == claims.mr_signer
    assert policy.accepted_tcb_statuses == BUILT_IN_POLICY.accepted_tcb_statuses
    assert Policy.from_str(policy.to_toml()) == policy
    with pytest.raises(ValueError, match="verified"):
        Policy.for_claims(claims.model_copy(update={"steps": claims.steps[:11]}))


def test_policies_are_values() -> None:
    policy = Policy.from_dict(CONTENT)
    assert pickle.loads(pickle.dumps(policy)) == policy
    assert hash(policy) == hash(Policy.from_dict(CONTENT))
    with pytest.raises(ValidationError):
        policy.allow_debug = True  # type: ignore[misc]  # what must not work
