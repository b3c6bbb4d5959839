"""The platform before an independent judge: the verifier of the `dcap-qvl` package.

It reads TCB info 3 alone. What it does not look at (the pceId, bytes after a quote, the names of
certificates, the root beyond its key) is not asked of it here.
"""

from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from dcap_qvl_judge import dcap_qvl, judge, verdict
from spoiling import with_last_bit_flipped

from blindai_async.server.tee.emulated import (
    CA_USAGE,
    LEAF_USAGE,
    EmulatedPlatform,
    PckCa,
    PlatformIdentity,
    new_key,
    replacing,
)

HOUR = timedelta(hours=1)
FORGER = new_key()
LARGE_KEY = new_key(ec.SECP384R1())


@pytest.mark.parametrize("pck_ca", PckCa)
def test_sound_evidence_is_accepted(now, pck_ca):
    identity = PlatformIdentity(pck_ca=pck_ca)
    report = verdict(EmulatedPlatform(identity=identity, now=now, tcb_info_version=3))
    assert (report.status, report.advisory_ids) == ("UpToDate", [])


def test_the_quote_is_read_as_the_platform_meant_it(platform_v3):
    quote = dcap_qvl.parse_quote(platform_v3.evidence(b"held").quote)
    extension, ours = quote.pck_extension(), platform_v3.blueprint.pki.pck.sgx_extension
    for name in ("ppid", "cpu_svn", "pce_svn", "pce_id", "fmspc", "platform_instance_id"):
        assert getattr(extension, name) == getattr(ours, name), name
    assert extension.sgx_type == ours.sgx_type
    assert quote.report.mr_enclave == platform_v3.mr_enclave
    assert quote.report.mr_signer == platform_v3.mr_signer
    assert quote.is_sgx()


def test_the_real_quote_is_read_by_the_same_judge(real_attestation):
    assert dcap_qvl.parse_quote(real_attestation.quote).fmspc() == "30606A000000"


def test_tcb_info_2_is_beyond_this_judge(platform):
    with pytest.raises(ValueError, match="Failed to decode TcbInfo"):
        verdict(platform)


def test_validity_ends_where_the_platform_says(platform_v3, now):
    evidence, root = platform_v3.evidence(), platform_v3.root_pem
    next_update = platform_v3.blueprint.tcb_info.next_update
    issue_date = platform_v3.blueprint.tcb_info.issue_date
    assert judge(evidence, root, issue_date).status == "UpToDate"
    assert judge(evidence, root, next_update - timedelta(seconds=1)).status == "UpToDate"
    for moment in (issue_date - timedelta(seconds=1), next_update + timedelta(seconds=1)):
        with pytest.raises(ValueError, match="Verification failed"):
            judge(evidence, root, moment)


def test_another_root_is_not_trusted(platform_v3, platform):
    with pytest.raises(ValueError, match="InvalidCrlSignatureForPublicKey"):
        judge(platform_v3.evidence(), platform.root_pem, platform_v3.now)


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"tcb_info.levels.0.status": "SWHardeningNeeded"}, "SWHardeningNeeded"),
        ({"tcb_info.levels.0.status": "ConfigurationNeeded"}, "ConfigurationNeeded"),
        ({"tcb_info.levels.0.pce_svn": 13}, "OutOfDate"),
        ({"qe_identity.levels.0.isv_svn": 8}, "OutOfDate"),
    ],
)
def test_statuses_are_those_of_the_matching_levels(platform_v3, changes, status):
    assert verdict(platform_v3.with_changes(changes)).status == status


def test_advisories_are_reported(platform_v3):
    spoiled = platform_v3.with_changes(
        {
            "tcb_info.levels.0.status": "SWHardeningNeeded",
            "tcb_info.levels.0.advisory_ids": ("INTEL-SA-00615",),
        }
    )
    assert verdict(spoiled).advisory_ids == ["INTEL-SA-00615"]


def certificates_gone_wrong():
    chained = ("intermediate", "pck", "tcb_signer")
    for name in chained:
        yield f"pki.{name}.signing_key", FORGER, "InvalidSignature"
        yield f"pki.{name}.issuer", "Intel SGX Nobody", "UnknownIssuer"
        yield f"pki.{name}.after_signing", with_last_bit_flipped, "InvalidSignature"
        yield f"pki.{name}.hash_name", "sha384", "UnsupportedSignatureAlgorithm"
        yield f"pki.{name}.extra_extensions", (("1.2.3", True, b"\x05\x00"),), "UnsupportedCritical"
    yield "pki.intermediate.ca", False, "EndEntityUsedAsCa"
    yield "pki.intermediate.ca", None, "EndEntityUsedAsCa"
    yield "pki.intermediate.key_usage", LEAF_USAGE, "IssuerNotCrlSigner"
    yield "pki.intermediate.key", LARGE_KEY, "UnsupportedSignatureAlgorithm"
    yield "pki.pck.key", LARGE_KEY, "Signature is invalid for qe_report"
    yield "pki.tcb_signer.key", LARGE_KEY, "Signature is invalid for tcb_info"
    yield "pki.pck.ca", True, "CaUsedAsEndEntity"
    yield "pki.tcb_signer.ca", True, "CaUsedAsEndEntity"
    yield "pki.pck.sgx_extension", None, "Intel extension not found"
    yield "pki.pck.sgx_extension", b"\x30\x01", "Failed to decode DER"
    for member in ("ppid", "tcb", "pce_id", "fmspc", "sgx_type", "pce_svn", "cpu_svn"):
        yield "pki.pck.sgx_extension.omitted", frozenset({member}), "missing|Failed to"
    yield "pki.pck.sgx_extension.fmspc", bytes(6), "Fmspc mismatch"
    yield "pki.pck.sgx_extension.cpu_svn", bytes(16), "No matching TCB level"
    yield "pki.pck.sgx_extension.pce_svn", 1, "No matching TCB level"


def collateral_gone_wrong():
    for name in ("root", "pck"):
        yield f"crls.{name}.signing_key", FORGER, "InvalidCrlSignature"
        yield f"crls.{name}.issuer", "Intel SGX Nobody", "UnknownRevocationStatus"
        yield f"crls.{name}.after_signing", with_last_bit_flipped, "InvalidCrlSignature"
    for name in ("tcb_info", "qe_identity"):
        yield f"{name}.signing_key", FORGER, f"Signature is invalid for {name}"
        tampering = replacing('DataNumber":12', 'DataNumber":13')
        yield f"{name}.after_signing", tampering, f"Signature is invalid for {name}"
        twice = replacing('"version":', '"version":1,"version":')
        yield f"{name}.before_signing", twice, "duplicate field"
        yield f"{name}.id", "TD_QE", "non-SGX|Unsupported QE Identity"
        yield f"{name}.levels", (), "No matching TCB level|No TCB levels"
        yield f"{name}.levels.0.status", "Revoked", "Revoked"
        yield f"{name}.levels.0.status", "Splendid", "unknown variant"
    yield "tcb_info.fmspc", bytes(6), "Fmspc mismatch"
    yield "qe_identity.version", 9, "Unsupported QE Identity"
    yield "qe_identity.misc_select", b"\x01\x00\x00\x00", "MISCSELECT mismatch"
    yield "qe_identity.attributes", bytes(16), "ATTRIBUTES mismatch"
    yield "qe_identity.mr_signer", bytes(32), "MRSIGNER mismatch"
    yield "qe_identity.isv_prod_id", 2, "ISVPRODID mismatch"


def quotes_gone_wrong():
    yield "quoting_enclave.report_signing_key", FORGER, "Signature is invalid for qe_report"
    yield "quoting_enclave.quote_signing_key", FORGER, "ISV enclave report signature is invalid"
    yield "quoting_enclave.report.report_data", bytes(64), "QE report hash mismatch"
    yield "quoting_enclave.report.mr_signer", bytes(32), "MRSIGNER mismatch"
    yield "quoting_enclave.report.isv_svn", 1, "below minimum"
    yield "quote.version", 2, "Unsupported quote version"
    yield "quote.key_type", 3, "Unsupported DCAP attestation key type"
    yield "quote.tee_type", 0x81, "Invalid TEE type"
    yield "quote.vendor_id", bytes(16), "Unknown QE vendor ID"
    yield "quote.after_signing", lambda quote: quote[:-1], "Not enough data"
    yield "quote.signature_length", 5, "Failed to decode quote"
    yield "quote.authentication_length", 31, "Failed to decode quote"
    yield "quote.certification_length", 99_999, "Failed to decode quote"
    yield "quote.certification_type", 6, "Unsupported DCAP PCK cert format"
    yield "quote.certification_data", b"", "too short"
    yield "enclave.attributes_flags", 0x7, "Debug mode is enabled"


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [*certificates_gone_wrong(), *collateral_gone_wrong(), *quotes_gone_wrong()],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_a_single_fault_is_refused_for_its_own_reason(platform_v3, path, value, reason):
    with pytest.raises(ValueError, match=reason):
        verdict(platform_v3.with_changes({path: value}))


@pytest.mark.parametrize("name", ["intermediate", "pck", "tcb_signer"])
def test_certificates_out_of_their_validity_are_refused(platform_v3, now, name):
    with pytest.raises(ValueError, match="CertExpired"):
        verdict(platform_v3.with_changes({f"pki.{name}.not_after": now - HOUR}))
    with pytest.raises(ValueError, match="CertNotValidYet"):
        verdict(platform_v3.with_changes({f"pki.{name}.not_before": now + HOUR}))


@pytest.mark.parametrize("name", ["root", "pck"])
def test_expired_revocation_lists_are_refused(platform_v3, now, name):
    with pytest.raises(ValueError, match="CrlExpired"):
        verdict(platform_v3.with_changes({f"crls.{name}.next_update": now - HOUR}))


@pytest.mark.parametrize("name", ["tcb_info", "qe_identity"])
def test_documents_out_of_their_validity_are_refused(platform_v3, now, name):
    with pytest.raises(ValueError, match="expired"):
        verdict(platform_v3.with_changes({f"{name}.next_update": now - HOUR}))
    with pytest.raises(ValueError, match="issue date is in the future"):
        verdict(platform_v3.with_changes({f"{name}.issue_date": now + HOUR}))


@pytest.mark.parametrize(
    ("crl", "revoked"), [("pck", "pck"), ("root", "intermediate"), ("root", "tcb_signer")]
)
def test_revoked_certificates_are_refused(platform_v3, crl, revoked):
    serial_number = getattr(platform_v3.blueprint.pki, revoked).serial_number
    with pytest.raises(ValueError, match="CertRevoked"):
        verdict(platform_v3.with_changes({f"crls.{crl}.revoked": (serial_number,)}))


def test_a_fault_that_the_judge_overlooks_leaves_the_rest_of_the_evidence_sound(platform_v3):
    """These are for a stricter verifier: nothing but the one fault may be wrong with them."""
    for changes in (
        {"pki.pck.key_usage": CA_USAGE},
        {"tcb_info.pce_id": b"\x01\x00"},
        {"quote.after_signing": lambda quote: quote + b"x"},
        {"pki.root.path_length": 0},
        {"quoting_enclave.report.overwrites": ((352, b"\x01"),)},
    ):
        assert verdict(platform_v3.with_changes(changes)).status == "UpToDate"
