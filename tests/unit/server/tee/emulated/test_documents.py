"""TCB info and QE identity: real signatures over the text as it stands, and what can be wrong."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from blindai_async.server.tee.emulated import EmulatedPlatform, new_key, reformatted, replacing

DOCUMENTS = {"tcb_info": "tcbInfo", "qe_identity": "enclaveIdentity"}


def inner(platform, field):
    return json.loads(platform.collateral()[field])[DOCUMENTS[field]]


def check_signature(platform, field):
    text = platform.collateral()[field]
    start, end = len(f'{{"{DOCUMENTS[field]}":'), text.index(',"signature":"')
    raw = bytes.fromhex(json.loads(text)["signature"])
    r, s = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")
    platform.blueprint.pki.tcb_signer.key.public_key().verify(
        encode_dss_signature(r, s), text[start:end].encode(), ec.ECDSA(hashes.SHA256())
    )


@pytest.mark.parametrize("field", DOCUMENTS)
@pytest.mark.parametrize("version", [2, 3])
def test_the_signature_covers_the_inner_object_as_it_stands(now, field, version):
    check_signature(EmulatedPlatform(now=now, tcb_info_version=version), field)


@pytest.mark.parametrize("field", DOCUMENTS)
@pytest.mark.parametrize(
    "change",
    [
        ("signing_key", new_key()),
        (
            "after_signing",
            replacing('DataNumber":12', 'DataNumber":13'),
        ),
    ],
)
def test_a_forged_or_tampered_document_does_not_verify(platform, field, change):
    knob, value = change
    with pytest.raises(InvalidSignature):
        check_signature(platform.with_changes({f"{field}.{knob}": value}), field)


@pytest.mark.parametrize("field", DOCUMENTS)
def test_members_are_those_of_a_real_document_in_the_same_order(platform, real_attestation, field):
    real = json.loads(getattr(real_attestation.collateral, field))
    ours = json.loads(platform.collateral()[field])
    assert list(ours) == list(real)
    assert list(ours[DOCUMENTS[field]]) == list(real[DOCUMENTS[field]])
    assert type(ours[DOCUMENTS[field]]["issueDate"]) is str
    real_level, our_level = (d[DOCUMENTS[field]]["tcbLevels"][0] for d in (real, ours))
    assert list(our_level) == list(real_level)
    assert list(our_level["tcb"]) == list(real_level["tcb"])


def test_version_3_has_an_id_and_lists_the_components(platform_v3):
    info = inner(platform_v3, "tcb_info")
    assert (info["id"], info["version"]) == ("SGX", 3)
    tcb = info["tcbLevels"][0]["tcb"]
    svns = platform_v3.blueprint.tcb_info.levels[0].component_svns
    assert [component["svn"] for component in tcb["sgxtcbcomponents"]] == list(svns)
    assert list(tcb) == ["sgxtcbcomponents", "pcesvn"]


def test_the_platform_matches_its_own_levels(platform):
    pieces = platform.blueprint
    info, extension = inner(platform, "tcb_info"), pieces.pki.pck.sgx_extension
    assert bytes.fromhex(info["fmspc"]) == extension.fmspc
    assert bytes.fromhex(info["pceId"]) == extension.pce_id
    highest = info["tcbLevels"][0]["tcb"]
    assert [highest[f"sgxtcbcomp{i:02}svn"] for i in range(1, 17)] == list(extension.component_svns)
    assert highest["pcesvn"] == extension.pce_svn
    assert inner(platform, "qe_identity")["tcbLevels"][0]["tcb"]["isvsvn"] == (
        pieces.quoting_enclave.report.isv_svn
    )


@pytest.mark.parametrize("field", DOCUMENTS)
def test_dates_levels_and_advisories_are_what_a_change_says(platform, now, field):
    spoiled = platform.with_changes(
        {
            f"{field}.issue_date": now,
            f"{field}.next_update": now + timedelta(seconds=1),
            f"{field}.levels.1.status": "Revoked",
            f"{field}.levels.0.advisory_ids": ("INTEL-SA-00615", "INTEL-SA-00657"),
        }
    )
    check_signature(spoiled, field)
    document = inner(spoiled, field)
    assert document["issueDate"] == "2026-03-01T12:00:00Z"
    assert document["nextUpdate"] == "2026-03-01T12:00:01Z"
    assert document["tcbLevels"][0]["advisoryIDs"] == ["INTEL-SA-00615", "INTEL-SA-00657"]
    assert document["tcbLevels"][1]["tcbStatus"] == "Revoked"


@pytest.mark.parametrize("field", DOCUMENTS)
def test_nonsense_can_be_well_signed(platform, field):
    spoiled = platform.with_changes(
        {f"{field}.before_signing": replacing('"version":2', '"version":1,"version":2')}
    )
    check_signature(spoiled, field)
    assert '"version":1,"version":2' in spoiled.collateral()[field]


def test_reformatting_keeps_the_json_and_changes_the_bytes(platform):
    text = platform.collateral()["tcb_info"]
    assert json.loads(reformatted(text)) == json.loads(text)
    assert reformatted(text) != text
    changed = platform.with_changes({"tcb_info.after_signing": reformatted})
    assert inner(changed, "tcb_info") == inner(platform, "tcb_info")
    assert changed.collateral()["tcb_info"].startswith('{\n "tcbInfo"')


def test_an_edit_that_finds_nothing_is_refused(platform):
    spoiled = platform.with_changes({"tcb_info.before_signing": replacing("absent", "x")})
    with pytest.raises(ValueError, match="absent"):
        spoiled.collateral()


def test_qe_identity_fits_the_report_of_the_quoting_enclave(platform):
    identity = inner(platform, "qe_identity")
    report = platform.blueprint.quoting_enclave.report.pack(report_data=b"")
    mask = int(identity["attributesMask"], 16)
    assert int.from_bytes(report[48:64], "big") & mask == int(identity["attributes"], 16)
    assert report[128:160].hex() == identity["mrsigner"].lower()
    assert int.from_bytes(report[256:258], "little") == identity["isvprodid"]
    assert report[16:20].hex() == identity["miscselect"]
