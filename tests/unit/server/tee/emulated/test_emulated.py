"""The platform as servers and tests use it."""

from __future__ import annotations

import tomllib
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone

import pytest
from cryptography import x509

from blindai_async.server.tee.emulated import (
    COLLATERAL_FIELDS,
    EmulatedPlatform,
    Lifetimes,
    PlatformIdentity,
)


def test_collateral_has_the_fields_of_the_message(platform, real_attestation):
    fields = [field.name for field in real_attestation.collateral.DESCRIPTOR.fields]
    assert list(platform.collateral()) == list(COLLATERAL_FIELDS) == fields
    type(real_attestation.collateral)(**platform.collateral())


def test_chains_stand_in_the_order_of_the_real_ones(platform, real_attestation):
    def names(chain):
        certs = x509.load_pem_x509_certificates(chain.encode())
        return [c.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value for c in certs]

    collateral = platform.collateral()
    for field in COLLATERAL_FIELDS:
        real = getattr(real_attestation.collateral, field)
        if "BEGIN CERTIFICATE" in str(real):
            assert names(collateral[field]) == names(real), field


def test_the_pck_chain_can_be_left_to_the_quote(platform):
    bare = platform.with_changes({"collateral.pck_certificate": False}).collateral()
    assert (bare["pck_certificate"], bare["pck_signing_chain"]) == ("", "")


def test_collateral_fields_can_be_overridden(platform):
    spoiled = platform.with_changes({"collateral.overrides": {"qe_identity": ""}})
    assert spoiled.collateral() == {**platform.collateral(), "qe_identity": ""}
    assert spoiled.evidence().collateral["qe_identity"] == ""


@pytest.mark.parametrize("fields", [{"nothing": "x"}, {"version": 3}])
def test_a_void_override_is_refused(platform, fields):
    with pytest.raises(ValueError, match="no other value"):
        platform.evidence().with_collateral(**fields)


def test_evidence_can_be_patched_without_signing(platform):
    evidence = platform.evidence(b"held")
    patched = evidence.with_quote_bytes(436, b"\x00" * 64)
    assert patched.quote[436:500] == bytes(64)
    assert patched.quote[500:] == evidence.quote[500:]
    assert patched.collateral == evidence.collateral
    with pytest.raises(ValueError, match="change nothing"):
        patched.with_quote_bytes(436, b"\x00")


def test_a_change_leaves_all_else_byte_for_byte(platform):
    spoiled = platform.with_changes({"tcb_info.levels.0.status": "OutOfDate"}).collateral()
    true = platform.collateral()
    assert [name for name in true if true[name] != spoiled[name]] == ["tcb_info"]


def test_a_changed_platform_keeps_the_trusted_root(platform):
    spoiled = platform.with_changes({"pki.intermediate.ca": False})
    assert spoiled.root_pem == platform.root_pem
    assert spoiled.root_pem.startswith(b"-----BEGIN CERTIFICATE-----")


def test_threads_get_one_certificate():
    platform = EmulatedPlatform()
    with ThreadPoolExecutor(8) as pool:
        results = {str(c) for c in pool.map(lambda _: platform.collateral(), range(32))}
    assert len(results) == 1


def test_everything_is_valid_around_now_and_ends_with_its_lifetime():
    east = timezone(timedelta(hours=3))
    platform = EmulatedPlatform(
        now=datetime(2030, 1, 1, 3, 0, 0, 999, tzinfo=east),
        lifetimes=Lifetimes(backdated=timedelta(0), collateral=timedelta(minutes=1)),
    )
    assert platform.now == datetime(2030, 1, 1, tzinfo=UTC)
    assert platform.now.utcoffset() == timedelta(0)
    pieces = platform.blueprint
    for document in (pieces.tcb_info, pieces.qe_identity):
        assert document.issue_date == platform.now
        assert document.next_update == platform.now + timedelta(minutes=1)
    assert pieces.pki.pck.not_before == platform.now


def test_a_moment_without_time_zone_is_refused():
    with pytest.raises(ValueError, match="time zone"):
        EmulatedPlatform(now=datetime(2030, 1, 1))  # noqa: DTZ001 - the very thing refused


def test_the_measurement_is_random_or_given():
    assert EmulatedPlatform().mr_enclave != EmulatedPlatform().mr_enclave
    assert EmulatedPlatform(mr_enclave=b"m" * 32).mr_enclave == b"m" * 32
    with pytest.raises(ValueError, match="32 bytes, not 3"):
        EmulatedPlatform(mr_enclave=b"abc")
    with pytest.raises(ValueError, match="leave mr_enclave and mr_td out"):
        EmulatedPlatform(identity=PlatformIdentity(), mr_enclave=b"m" * 32)


def accepted(policy_toml: str, platform: EmulatedPlatform) -> bool:
    """Judge a platform's enclave by the rule of the policy format."""
    policy = tomllib.loads(policy_toml)
    report = platform.evidence(b"held").quote[48:432]
    misc, flags, xfrm = (
        int.from_bytes(report[start:end], "little") for start, end in ((16, 20), (48, 56), (56, 64))
    )

    def number(key: str) -> int:
        return int(policy[key], 16)

    return (
        report[64:96].hex() == policy["mr_enclave"]
        and (policy["allow_debug"] or not flags & 0x2)
        and flags & number("attributes_mask_flags_hex") == number("attributes_flags_hex") | 0x1
        and xfrm & number("attributes_mask_xfrm_hex") == number("attributes_xfrm_hex")
        and misc & number("misc_mask_hex") == number("misc_select_hex")
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"enclave.mr_enclave": b"x" * 32},
        {"enclave.attributes_flags": 0x7},
        {"enclave.attributes_flags": 0x4},
        {"enclave.attributes_flags": 0x15},
        {"enclave.attributes_xfrm": 0x1},
        {"enclave.misc_select": 1},
    ],
)
def test_the_policy_accepts_its_enclave_and_no_other(platform, changes):
    assert accepted(platform.policy_toml, platform)
    assert not accepted(platform.policy_toml, platform.with_changes(changes))


def test_the_policy_is_the_built_in_one_with_another_measurement(platform):
    assert tomllib.loads(platform.policy_toml) == {
        "mr_enclave": platform.mr_enclave.hex(),
        "misc_select_hex": "0x0",
        "misc_mask_hex": "0xffffffff",
        "attributes_flags_hex": "0x4",
        "attributes_xfrm_hex": "0x3",
        "attributes_mask_flags_hex": "0xfffffffffffffffd",
        "attributes_mask_xfrm_hex": "0xffffffffffffff1b",
        "allow_debug": False,
    }


def test_a_debug_enclave_has_a_policy_that_says_so(platform):
    debug = platform.with_changes({"enclave.attributes_flags": 0x7})
    assert tomllib.loads(debug.policy_toml)["allow_debug"] is True
    assert accepted(debug.policy_toml, debug)


def test_the_platform_says_what_it_is_and_shows_no_secret(platform):
    assert "proves nothing" in repr(platform)
    assert platform.mr_enclave.hex() in repr(platform)
    assert "PrivateKey" not in repr(platform.identity)
