"""The TDX platform before an independent judge: the verifier of the `dcap-qvl` package.

What it refuses for a policy of its own stands in `test_policies_of_the_judge`; what it overlooks,
and a stricter verifier does not, in `test_what_the_judge_overlooks`. It reads no SGX quotes of
versions 4 and 5: `test_sgx_quotes_of_newer_versions_are_beyond_this_judge`.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from dcap_qvl_judge import dcap_qvl, judge, verdict
from spoiling import with_last_bit_flipped

from blindai_async.server.tee.emulated import (
    MIGRATABLE,
    SEPT_VE_DISABLE,
    TD_DEBUG,
    EmulatedPlatform,
    PckCa,
    PlatformIdentity,
    new_key,
    replacing,
)

FORGER = new_key()
FORMS = [(4, "1.0"), (5, "1.0"), (5, "1.5")]
MODULE = "tcb_info.tdx_module_identities.1"


@pytest.fixture(scope="module", params=FORMS, ids=lambda form: f"v{form[0]}-{form[1]}")
def platform(request, now):
    version, report = request.param
    return EmulatedPlatform("tdx", now=now, quote_version=version, td_report=report)


@pytest.fixture(scope="module")
def platform_15(now):
    return EmulatedPlatform("tdx", now=now, quote_version=5)


def svn(*numbers):
    return bytes(numbers) + bytes(16 - len(numbers))


def svns(platform, *numbers):
    """Changes that set what the TD was launched with and, in 1.5, what runs now."""
    changes = {"td.tee_tcb_svn": svn(*numbers)}
    if platform.blueprint.td.tee_tcb_svn2 is not None:
        changes["td.tee_tcb_svn2"] = svn(*numbers)
    return changes


def test_sound_evidence_is_accepted(platform):
    report = verdict(platform)
    assert (report.status, report.advisory_ids) == ("UpToDate", [])


@pytest.mark.parametrize("pck_ca", PckCa)
def test_both_kinds_of_pck_certificate_are_accepted(now, pck_ca):
    identity = PlatformIdentity(tee="tdx", pck_ca=pck_ca)
    assert verdict(EmulatedPlatform(identity=identity, now=now)).status == "UpToDate"


def test_the_quote_is_read_as_the_platform_meant_it(platform):
    td = replace(
        platform.blueprint.td,
        mr_seam=b"m" * 48,
        mr_signer_seam=b"g" * 48,
        seam_attributes=b"a" * 8,
        td_attributes=0x1122334455667788,
        xfam=0x2122232425262728,
        mr_config_id=b"c" * 48,
        mr_owner=b"o" * 48,
        mr_owner_config=b"f" * 48,
        rtmr3=b"3" * 48,
        report_data=b"d" * 64,
    )
    quote = dcap_qvl.parse_quote(platform.with_changes({"td": td}).evidence().quote)
    assert quote.is_tdx()
    names = ["mr_seam", "mr_signer_seam", "mr_config_id", "mr_owner", "mr_owner_config", "mr_td"]
    report = quote.report
    for name in names:
        assert getattr(report, name) == getattr(td, name), name
    assert (report.rt_mr0, report.rt_mr1, report.rt_mr2, report.rt_mr3) == td.rtmrs
    assert report.seam_attributes == td.seam_attributes
    assert report.td_attributes == td.td_attributes.to_bytes(8, "little")
    assert report.xfam == td.xfam.to_bytes(8, "little")
    assert (report.tee_tcb_svn, report.report_data) == (td.tee_tcb_svn, td.report_data)
    if td.mr_service_td is not None:
        assert (report.tee_tcb_svn2, report.mr_service_td) == (td.tee_tcb_svn2, td.mr_service_td)


def test_sgx_quotes_of_newer_versions_are_beyond_this_judge(now):
    for version in (4, 5):
        sgx = EmulatedPlatform(now=now, tcb_info_version=3, quote_version=version)
        with pytest.raises(ValueError, match="SGX TEE quote must have version 3"):
            verdict(sgx)


@pytest.mark.parametrize(
    ("numbers", "status", "advisories"),
    [
        ((5, 1, 7), "UpToDate", []),
        ((5, 3, 7), "UpToDate", []),  # another version of the module, judged by its own levels
        ((3, 1, 7), "OutOfDate", ["EMULATED-SA-00002"]),  # the module
        ((5, 1, 5), "OutOfDate", ["EMULATED-SA-00001"]),  # the processor
        ((5, 0, 7), "UpToDate", []),  # version 0: `tdxModule` and all sixteen numbers
        ((3, 0, 7), "OutOfDate", ["EMULATED-SA-00001"]),
    ],
)
def test_module_and_processor_have_levels_of_their_own(platform, numbers, status, advisories):
    spoiled = platform
    if numbers != (5, 1, 7):
        spoiled = platform.with_changes(svns(platform, *numbers))
    report = verdict(spoiled)
    assert (report.status, report.advisory_ids) == (status, advisories)


def test_the_first_two_numbers_of_a_level_are_for_modules_of_version_0(platform):
    """The trap: comparing all sixteen numbers refuses genuine evidence."""
    changes = {"tcb_info.levels.0.tdx_component_svns": (9, 9, 7, *([0] * 13))}
    assert verdict(platform.with_changes(changes)).status == "UpToDate"
    old = platform.with_changes(changes | svns(platform, 5, 0, 7))
    assert verdict(old).status == "OutOfDate"


@pytest.mark.parametrize("below", [(5, 1, 1), (1, 1, 7), (5, 2, 7)])
def test_what_is_below_every_level_or_of_an_unknown_module_is_refused(platform, below):
    with pytest.raises(ValueError, match=r"No matching TCB level|below minimum|No TDX module"):
        verdict(platform.with_changes(svns(platform, *below)))


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({}, "TDRelaunchAdvised"),
        ({"tcb_info.levels.0.status": "SWHardeningNeeded"}, "TDRelaunchAdvised"),
        (
            {"tcb_info.levels.0.status": "ConfigurationNeeded"},
            "TDRelaunchAdvisedConfigurationNeeded",
        ),
        ({f"{MODULE}.levels.0.status": "OutOfDate"}, "OutOfDate"),
    ],
)
def test_a_td_that_outlived_an_update_is_to_be_launched_again(platform_15, changes, status):
    launched_before = platform_15.with_changes({"td.tee_tcb_svn": svn(3, 1, 7), **changes})
    assert verdict(launched_before).status == status


def test_statuses_of_platform_and_quoting_enclave_merge(platform):
    outdated = {"qe_identity.levels.0.isv_svn": 5, "qe_identity.levels.1.isv_svn": 4}
    assert verdict(platform.with_changes(outdated)).status == "OutOfDate"
    both = outdated | {"tcb_info.levels.0.status": "ConfigurationNeeded"}
    assert verdict(platform.with_changes(both)).status == "OutOfDateConfigurationNeeded"


def faults():
    yield f"{MODULE}.mr_signer", b"x" * 48, "MRSIGNER mismatch"
    yield f"{MODULE}.attributes", b"\1" + bytes(7), "SEAMATTRIBUTES mismatch"
    yield f"{MODULE}.levels", (), "below minimum"
    yield f"{MODULE}.levels.0.status", "Revoked", "Revoked"
    yield "td.mr_signer_seam", b"x" * 48, "MRSIGNER mismatch"
    yield "td.seam_attributes", b"\1" + bytes(7), "SEAMATTRIBUTES mismatch"
    yield "td.td_attributes", SEPT_VE_DISABLE | TD_DEBUG, "Debug mode is enabled"
    yield "td.td_attributes", SEPT_VE_DISABLE | 2, "Reserved bits"
    yield "tcb_info.tdx_module_identities", (), "No TDX module identity"
    yield "tcb_info.levels.0.tdx_component_svns", None, "count mismatch"
    yield "tcb_info.levels.0.status", "Revoked", "Revoked"
    yield "tcb_info.id", "SGX", "non-TDX TCB info"
    yield "tcb_info.version", 2, "Failed to decode TcbInfo"
    yield "tcb_info.fmspc", bytes(6), "Fmspc mismatch"
    yield "qe_identity.id", "QE", "Unsupported QE Identity"
    yield "qe_identity.isv_prod_id", 1, "ISVPRODID mismatch"
    yield "quoting_enclave.report_signing_key", FORGER, "Signature is invalid for qe_report"
    yield "quoting_enclave.quote_signing_key", FORGER, "report signature is invalid"
    yield "quoting_enclave.report.report_data", bytes(64), "QE report hash mismatch"
    yield "quote.tee_type", 0, "SGX TEE quote must have version 3|Failed to decode"
    yield "quote.version", 3, "Failed to decode quote"
    yield "quote.vendor_id", bytes(16), "Unknown QE vendor ID"
    yield "quote.wrapper_type", None, "Failed to decode quote"
    yield "quote.wrapper_length", 1, "Failed to decode quote"
    yield "quote.body_type", 4, "Failed to decode quote"
    yield "quote.after_signing", lambda quote: quote[:-1], "Not enough data|Failed to decode"
    for name in ("tcb_info", "qe_identity"):
        yield f"{name}.signing_key", FORGER, f"Signature is invalid for {name}"
        yield f"{name}.tcb_evaluation_data_number", None, "missing field"
        tampering = replacing('DataNumber":12', 'DataNumber":13')
        yield f"{name}.after_signing", tampering, f"Signature is invalid for {name}"
    for name in ("intermediate", "pck", "tcb_signer"):
        yield f"pki.{name}.signing_key", FORGER, "InvalidSignature"
        yield f"pki.{name}.after_signing", with_last_bit_flipped, "InvalidSignature"
    yield "crls.root.extra_extensions", (("2.5.29.27", False, b"\x02\x01\x01"),), "DeltaCrl"


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    list(faults()),
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_a_single_fault_is_refused_for_its_own_reason(platform, path, value, reason):
    with pytest.raises(ValueError, match=reason):
        verdict(platform.with_changes({path: value}))


@pytest.mark.parametrize(
    ("crl", "revoked"), [("pck", "pck"), ("root", "intermediate"), ("root", "tcb_signer")]
)
def test_revoked_certificates_are_refused(platform, crl, revoked):
    serial_number = getattr(platform.blueprint.pki, revoked).serial_number
    with pytest.raises(ValueError, match="CertRevoked"):
        verdict(platform.with_changes({f"crls.{crl}.revoked": (serial_number,)}))


def test_validity_ends_where_the_platform_says(platform):
    evidence, root = platform.evidence(), platform.root_pem
    issue_date = platform.blueprint.tcb_info.issue_date
    next_update = platform.blueprint.tcb_info.next_update
    assert judge(evidence, root, next_update - timedelta(seconds=1)).status == "UpToDate"
    for moment in (issue_date - timedelta(seconds=1), next_update + timedelta(seconds=1)):
        with pytest.raises(ValueError, match="Verification failed"):
            judge(evidence, root, moment)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"td.td_attributes": 0}, "SEPT_VE_DISABLE is not enabled"),
        ({"td.td_attributes": SEPT_VE_DISABLE | MIGRATABLE}, "TD migration is enabled"),
        ({"td.mr_service_td": b"s" * 48}, "Invalid MR service TD"),
    ],
)
def test_policies_of_the_judge(platform_15, changes, reason):
    """Disagreements: it always demands what a policy of ours may allow."""
    with pytest.raises(ValueError, match=reason):
        verdict(platform_15.with_changes(changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"tcb_info.pce_id": b"\x01\x00"},  # not compared with the PCK certificate's
        {"tcb_info.tcb_type": 1},  # not looked at
        {"qe_identity.tcb_evaluation_data_number": 13},  # nor compared, rightly
        {"quote.after_signing": lambda quote: quote + bytes(10)},  # zero padding, as in real files
        {"quote.after_signing": lambda quote: quote + b"x"},  # anything after the quote
        {"quote.extra_signature_data": b"x"},
        {"quote.extra_wrapped_data": b"x"},
        {"quote.wrapper_type": 7},  # the wrapper's type is not looked at
        {"quote.qe_svn": 1},  # reserved in version 4 and 5
        {"pki.pck.sgx_extension.configuration": None},  # six fields, where there are five or seven
        {"pki.pck.omitted_extensions": frozenset({"2.5.29.14", "2.5.29.35"})},  # key identifiers
        {"crls.root.omitted_extensions": frozenset({"2.5.29.20"})},  # the CRL's number
    ],
    ids=str,
)
def test_what_the_judge_overlooks(platform, changes):
    """Disagreements of the other kind: nothing but the one fault is wrong with these."""
    assert verdict(platform.with_changes(changes)).status == "UpToDate"


@pytest.mark.parametrize("order", [(1, 0), (0, 0)], ids=["lowest first", "twice"])
def test_levels_out_of_order_are_overlooked_too(platform, order):
    levels = platform.blueprint.tcb_info.levels
    spoiled = platform.with_changes({"tcb_info.levels": tuple(levels[index] for index in order)})
    assert verdict(spoiled).status == "UpToDate"
