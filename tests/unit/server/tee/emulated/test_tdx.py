"""The TDX platform as servers and tests use it, and its form beside what real machines gave."""

from __future__ import annotations

import json
import tomllib
from datetime import timedelta
from pathlib import Path

import pytest

from blindai_async.server.tee.emulated import (
    MIGRATABLE,
    SEPT_VE_DISABLE,
    TD_DEBUG,
    EmulatedPlatform,
    PlatformIdentity,
)

SHARED = Path(__file__).parents[6] / "shared/fixtures"


@pytest.fixture(scope="module")
def tdx(now):
    return EmulatedPlatform("tdx", now=now)


@pytest.fixture(scope="module")
def real_tcb_info():
    return json.loads(real("pcs/tdx_tcb_info.json")["tcb_info_json"])["tcbInfo"]


def real(name):
    path = SHARED / name
    if not path.exists():
        pytest.skip("what real machines and services gave is not beside the repository")
    return json.loads(path.read_text()) if path.suffix == ".json" else path.read_bytes()


def test_it_names_a_td_and_no_enclave(tdx):
    assert (tdx.tee, EmulatedPlatform().tee) == ("tdx", "sgx")
    assert len(tdx.mr_td) == 48
    assert tdx.mr_td.hex() in repr(tdx)
    assert "no TDX, proves nothing" in repr(tdx)
    for name in ("mr_enclave", "mr_signer"):
        with pytest.raises(AttributeError, match="see mr_td"):
            getattr(tdx, name)
    with pytest.raises(AttributeError, match="see mr_enclave"):
        _ = EmulatedPlatform().mr_td


def test_measurements_are_random_or_given():
    assert EmulatedPlatform("tdx").mr_td != EmulatedPlatform("tdx").mr_td
    assert EmulatedPlatform("tdx", mr_td=b"m" * 48).mr_td == b"m" * 48


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"tee": "sev"}, '"sgx" or "tdx"'),
        ({"tee": "tdx", "mr_td": b"m" * 32}, "mr_td must be 48 bytes, not 32"),
        ({"tee": "tdx", "mr_enclave": b"m" * 32}, "goes with mr_td"),
        ({"mr_td": b"m" * 48}, "goes with mr_enclave"),
        ({"tee": "tdx", "identity": PlatformIdentity()}, "is of 'sgx', not of 'tdx'"),
        ({"identity": PlatformIdentity(tee="tdx"), "mr_td": b"m" * 48}, "leave mr_enclave and"),
        ({"tee": "tdx", "quote_version": 3}, "version 4 and 5, not 3"),
        ({"tee": "tdx", "quote_version": 4, "td_report": "1.5"}, "TD reports 1.0, not 1.5"),
        ({"tee": "tdx", "td_report": "2.0"}, "1.0 and 1.5, not '2.0'"),
        ({"tee": "tdx", "tcb_info_version": 2}, "version 3, not 2"),
        ({"td_report": "1.0"}, "an SGX enclave has no TD report"),
        ({"quote_version": 6}, "version 3, 4 and 5, not 6"),
    ],
)
def test_what_does_not_exist_is_refused_in_words(arguments, words):
    with pytest.raises(ValueError, match=words):
        EmulatedPlatform(**arguments)


@pytest.mark.parametrize("rtmrs", [(), (b"r" * 48,) * 3, (b"r",) * 4])
def test_four_run_time_measurements_are_48_bytes(rtmrs):
    with pytest.raises(ValueError, match=r"4 measurements|rtmr0 must be 48 bytes"):
        PlatformIdentity(rtmrs=rtmrs)


def test_the_identity_decides_where_the_kind_is_not_named():
    assert EmulatedPlatform(identity=PlatformIdentity(tee="tdx")).tee == "tdx"


@pytest.mark.parametrize("size", [0, 32, 63, 65])
@pytest.mark.parametrize("tee", ["sgx", "tdx"])
def test_report_data_of_another_size_is_refused(tee, size):
    with pytest.raises(ValueError, match=f"64 bytes, not {size}"):
        EmulatedPlatform(tee).quote(bytes(size))


def test_a_loaded_platform_is_the_saved_one(tmp_path, now, tdx):
    tdx.save(tmp_path)
    loaded = EmulatedPlatform.load(tmp_path, now=now + timedelta(days=1), quote_version=5)
    assert loaded.tee == "tdx"
    assert (loaded.root_pem, loaded.policy_toml) == (tdx.root_pem, tdx.policy_toml)
    assert loaded.identity.rtmrs == tdx.identity.rtmrs
    assert loaded.quote(bytes(64))[:2] == b"\x05\x00"
    assert loaded.blueprint.td.mr_seam == tdx.blueprint.td.mr_seam


def test_the_policy_pins_what_was_measured(tdx):
    policy = tomllib.loads(tdx.policy_toml)
    td = tdx.blueprint.td
    assert policy == {
        "tee": "tdx",
        "mr_td": td.mr_td.hex(),
        **{f"rtmr{number}": rtmr.hex() for number, rtmr in enumerate(td.rtmrs)},
        "allow_debug": False,
    }


def test_the_policy_names_what_is_refused_unless_it_is_named(now):
    platform = EmulatedPlatform("tdx", now=now, quote_version=5).with_changes(
        {"td.td_attributes": TD_DEBUG | MIGRATABLE, "td.mr_service_td": b"s" * 48}
    )
    policy = tomllib.loads(platform.policy_toml)
    assert policy["allow_debug"] is True
    assert policy["require_sept_ve_disable"] is False
    assert policy["allow_migratable"] is True
    assert policy["allow_service_td"] is True
    hardened = platform.with_changes(
        {"td.td_attributes": SEPT_VE_DISABLE, "td.mr_service_td": bytes(48)}
    )
    assert len(tomllib.loads(hardened.policy_toml)) == 7


def test_the_header_is_that_of_real_quotes(tdx, now):
    ours = tdx.quote(bytes(64))[:28]
    assert ours == real("evidence/tdx_v4_teepot.quote")[:28]
    newer = EmulatedPlatform("tdx", now=now, quote_version=5).quote(bytes(64))
    there = real("evidence/tdx_v5_oe_relaunch.quote")
    assert (newer[:28], newer[48:54]) == (there[:28], there[48:54])


def test_members_of_tcb_info_are_those_of_a_real_one_in_the_same_order(tdx, real_tcb_info):
    ours = json.loads(tdx.collateral()["tcb_info"])["tcbInfo"]
    assert list(ours) == list(real_tcb_info)
    assert list(ours["tdxModule"]) == list(real_tcb_info["tdxModule"])
    module, there = ours["tdxModuleIdentities"][1], real_tcb_info["tdxModuleIdentities"][1]
    assert (list(module), module["id"]) == (list(there), there["id"])
    assert list(module["tcbLevels"][0]) == list(there["tcbLevels"][0])
    level, other = ours["tcbLevels"][0], real_tcb_info["tcbLevels"][0]
    assert list(level["tcb"]) == list(other["tcb"])
    assert len(level["tcb"]["tdxtcbcomponents"]) == 16


def test_members_of_the_qe_identity_are_those_of_a_real_one(tdx):
    there = json.loads(real("pcs/tdx_qe_identity.json")["enclave_identity_json"])["enclaveIdentity"]
    ours = json.loads(tdx.collateral()["qe_identity"])["enclaveIdentity"]
    assert list(ours) == list(there)
    for name in ("id", "version", "isvprodid", "attributes", "attributesMask", "miscselectMask"):
        assert ours[name] == there[name], name


def test_sgx_documents_say_nothing_of_tdx():
    document = EmulatedPlatform(tcb_info_version=3).collateral()["tcb_info"]
    assert "tdx" not in document


def test_collateral_of_the_other_kind_can_be_handed_out(tdx, now):
    sgx = EmulatedPlatform(now=now, tcb_info_version=3)
    mixed = tdx.evidence().with_collateral(tcb_info=sgx.collateral()["tcb_info"])
    assert '"id":"SGX"' in mixed.collateral["tcb_info"]
