"""One thing wrong at a time: each is found, at its step, with its error.

The evidence is an emulated platform's. Whatever a change touches is signed anew by the right key,
so that nothing but the one check can find it.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from blindai_async.attestation import INTEL_SGX_ROOT
from blindai_async.errors import (
    NotAnEnclaveError,
    QuoteValidationError,
    TcbStatusError,
)
from blindai_async.server.tee.emulated import (
    CA_USAGE,
    LEAF_USAGE,
    CrlEncoding,
    new_key,
    reformatted,
    replacing,
)

if TYPE_CHECKING:
    from .conftest import Case, Platforms

PAST, FUTURE = timedelta(days=-3), timedelta(days=3)
KEY = new_key()
P384 = new_key(ec.SECP384R1())

TCB_MEMBERS = ("component01", "component16", "pce_svn", "cpu_svn")
SGX_MEMBERS = (*TCB_MEMBERS, "ppid", "tcb", "pce_id", "fmspc", "sgx_type")


def changes(step: int, error: type[QuoteValidationError], *rows: dict[str, object]) -> list[Any]:
    return [
        pytest.param(row, error, step, id=f"{step} {', '.join(row)} {number}")
        for number, row in enumerate(rows)
    ]


STEP_1 = changes(
    1,
    QuoteValidationError,
    {"quote.version": 4},
    {"quote.version": 2},
    {"quote.key_type": 3},
    {"quote.tee_type": 0x81},
    {"quote.vendor_id": bytes(16)},
    {"quote.signature_length": 0},
    {"quote.signature_length": 2**32 - 1},
    {"quote.authentication_length": 31},
    {"quote.authentication_length": 65535},
    {"quote.certification_length": 0},
    {"quote.certification_length": 2**32 - 1},
    {"quote.certification_type": 4},
    {"quote.certification_type": 6},
    {"quote.certification_data": b"\xff"},
    {"quote.extra_signature_data": b"\0"},
    {"quote.after_signing": lambda quote: quote + b"\0"},
    {"quote.after_signing": lambda quote: quote[:-1]},
    {"quote.after_signing": lambda quote: quote[:431]},
    {"quote.after_signing": lambda _: b""},
    {"quote.after_signing": lambda quote: quote + bytes(1 << 20)},
)

STEP_2 = changes(
    2,
    NotAnEnclaveError,
    {"pki.root.key": KEY},
    {"pki.root.signing_key": KEY},
    {"pki.root.subject": "Intel SGX Root CB"},
    {"pki.root.hash_name": "sha384"},
    {"collateral.overrides": {"pck_certificate": ""}},
    {"collateral.overrides": {"pck_signing_chain": ""}},
    {"collateral.overrides": {"pck_signing_chain": "not PEM"}},
    {"collateral.pck_certificate": False, "quote.certification_type": 1},
    {"collateral.pck_certificate": False, "quote.certification_data": b""},
)

STEP_3 = changes(
    3,
    NotAnEnclaveError,
    {"pki.pck.subject": "Intel SGX TCB Signing"},
    {"pki.intermediate.subject": "Intel SGX Root CA"},
    {"pki.intermediate.subject": "Intel SGX TCB Signing"},
    {"pki.pck.issuer": "Intel SGX PCK Processor CA"},
    {"pki.intermediate.issuer": "Another Root"},
    {"pki.pck.signing_key": KEY},
    {"pki.intermediate.signing_key": KEY},
    {"pki.intermediate.ca": False, "pki.intermediate.path_length": None},
    {"pki.intermediate.ca": None, "pki.intermediate.path_length": None},
    {"pki.root.ca": False, "pki.root.path_length": None},
    {"pki.root.path_length": 0},
    {"pki.root.key_usage": LEAF_USAGE},
    {"pki.root.key_usage": None},
    {"pki.intermediate.key_usage": LEAF_USAGE},
    {"pki.intermediate.key_usage": None},
    {"pki.pck.ca": True},
    {"pki.pck.key_usage": CA_USAGE},
    {"pki.pck.hash_name": "sha384"},
    {"pki.intermediate.hash_name": "sha384"},
    {"pki.pck.key": P384},
    {"pki.pck.extra_extensions": (("1.2.3.4", True, b"x"),)},
    {"pki.intermediate.extra_extensions": (("2.5.29.30", True, b"0\0"),)},
    {"pki.pck.after_signing": lambda certificate: certificate + b"\0"},
    {"pki.pck.sgx_extension": None},
    {"pki.pck.sgx_extension": b""},
    {"pki.pck.sgx_extension": b"\x30\x80\0\0"},
    {"pki.pck.sgx_extension.trailing": b"\0"},
    {"pki.pck.sgx_extension.ppid": bytes(15)},
    {"pki.pck.sgx_extension.fmspc": bytes(5)},
    {"pki.pck.sgx_extension.pce_id": bytes(3)},
    {"pki.pck.sgx_extension.cpu_svn": bytes(17)},
    {"pki.pck.sgx_extension.platform_instance_id": bytes(15)},
    {"pki.pck.sgx_extension.component_svns": (256, *[0] * 15)},
    {"pki.pck.sgx_extension.component_svns": (*[0] * 15, -1)},
    {"pki.pck.sgx_extension.pce_svn": 65536},
    {"pki.pck.sgx_extension.values": (("component03", b"\x04\x01\x04"),)},
    {"pki.pck.sgx_extension.values": (("component03", b"\x02\x02\0\x04"),)},
    {"pki.pck.sgx_extension.values": (("sgx_type", b"\x02\x01\x01"),)},
    {"pki.pck.sgx_extension.values": (("fmspc", b"\x0c\x06EMULAT"),)},
    {"pki.pck.sgx_extension.values": (("smt_enabled", b"\x01\x01\x01"),)},
    {"pki.intermediate.subject": "Intel SGX PCK Processor CA"},
    # Five fields or seven; nothing that the profile does not name.
    {"pki.pck.sgx_extension.omitted": frozenset({"platform_instance_id"})},
    {"pki.pck.sgx_extension.omitted": frozenset({"configuration"})},
    {"pki.pck.sgx_extension.repeated": frozenset({"smt_enabled"})},
    {"pki.pck.sgx_extension.sgx_type": 3},
    # The extensions that every certificate of Intel's has.
    *(
        {f"pki.{certificate}.{knob}": value}
        for certificate in ("pck", "intermediate", "root")
        for knob, value in (("crl_distribution_point", None), ("key_identifiers", False))
    ),
    {"pki.pck.key_usage": None},
    {"pki.pck.ca": None},
    # An extended key usage that names no purpose, or cannot be read.
    *(
        {f"pki.{certificate}.extra_extensions": (("2.5.29.37", False, content),)}
        for certificate in ("pck", "intermediate")
        for content in (b"0\0", b"", b"\x05\0", b"0\x03\x02\x01\x01", b"0\x03\x06\x01\x2a\0")
    ),
    *(
        {f"pki.pck.sgx_extension.{knob}": frozenset({name})}
        for knob in ("omitted", "repeated")
        for name in SGX_MEMBERS
    ),
)

STEP_4 = changes(
    4,
    NotAnEnclaveError,
    {"crls.root.signing_key": KEY},
    {"crls.pck.signing_key": KEY},
    {"crls.root.issuer": "Another Root"},
    {"crls.pck.issuer": "Intel SGX PCK Processor CA"},
    {"crls.root.hash_name": "sha384"},
    {"crls.pck.after_signing": lambda crl: crl + b"\0"},
    {"collateral.crl_encoding": CrlEncoding.BASE64_DER},
    {"collateral.overrides": {"root_ca_crl": ""}},
    {"collateral.overrides": {"pck_crl": ""}},
    {"collateral.overrides": {"pck_crl": "30"}},
    {"collateral.overrides": {"pck_crl": "303"}},
    {"collateral.overrides": {"pck_crl_issuer_chain": ""}},
    {"pki.root.key_usage": CA_USAGE - {"crl_sign"}},
    {"pki.intermediate.key_usage": CA_USAGE - {"crl_sign"}},
)

STEP_5 = changes(
    5,
    QuoteValidationError,
    {"collateral.overrides": {"tcb_info_issuer_chain": ""}},
    {"collateral.overrides": {"tcb_info": ""}},
    {"collateral.overrides": {"tcb_info": "{}"}},
    {"pki.tcb_signer.subject": "Intel SGX PCK Certificate"},
    {"pki.tcb_signer.signing_key": KEY},
    {"pki.tcb_signer.ca": True},
    {"pki.tcb_signer.key_usage": CA_USAGE},
    {"tcb_info.signing_key": KEY},
    {"tcb_info.after_signing": reformatted},
    {"tcb_info.after_signing": replacing('"OutOfDate"', '"UpToDate"')},
    {"tcb_info.after_signing": replacing(',"signature"', ',"signature":"","signature"')},
    {"tcb_info.fmspc": b"OTHERS"},
    {"tcb_info.pce_id": b"\0\x01"},
    {"tcb_info.version": 4},
    {"tcb_info.id": "TDX"},
    {"tcb_info.levels.0.status": "Unknown"},
    {"tcb_info.levels.1.status": "TDRelaunchAdvised"},
    {"tcb_info.levels.1.component_svns": (256, *[0] * 15)},
    {"tcb_info.levels.1.component_svns": (0,) * 15},
    {"tcb_info.levels.1.pce_svn": 65536},
    {"tcb_info.levels.1.advisory_ids": ("\n",)},
    {"tcb_info.levels": ()},
    {"tcb_info.tcb_type": 1},
    {"tcb_info.before_signing": replacing('"tcbType":0,', "")},
    {"tcb_info.before_signing": replacing('"tcbEvaluationDataNumber":12,', "")},
    {"tcb_info.tcb_evaluation_data_number": -1},
    {"tcb_info.before_signing": replacing('"tcbLevels"', '"tdxModuleIdentities":[],"tcbLevels"')},
    {
        "tcb_info.levels.0.component_svns": (5, 5, 3, 3, 255, 255, *[0] * 10),
        "tcb_info.levels.0.pce_svn": 10,
    },
    {"tcb_info.levels.1.component_svns": (8, *[0] * 15)},
    {"pki.tcb_signer.crl_distribution_point": None},
    {"pki.tcb_signer.key_identifiers": False},
    {"pki.tcb_signer.key_usage": None},
    {"pki.tcb_signer.extra_extensions": (("2.5.29.37", False, b"0\0"),)},
    {"tcb_info.before_signing": replacing('"tcbLevels"', '"tcbLevel"')},
    {"tcb_info.before_signing": replacing('"pceId"', '"pceId":"0000","pceId"')},
    {"tcb_info.before_signing": replacing('"svn":7', '"svn":true')},
    {"tcb_info.before_signing": replacing('"svn":7', '"svn":7.0')},
    {"tcb_info.before_signing": replacing('"svn":7', '"svn":NaN')},
    {"tcb_info.before_signing": replacing('"svn":7', '"svn":' + "7" * 5000)},
    {"tcb_info.before_signing": replacing('"pceId":"0000"', '"pceId":"00 0"')},
    {"tcb_info.before_signing": replacing('"pceId":"', '"pceId":"\\u0030')},
)

STEP_6 = changes(
    6,
    QuoteValidationError,
    {"collateral.overrides": {"qe_identity_issuer_chain": ""}},
    {"collateral.overrides": {"qe_identity": ""}},
    {"collateral.overrides": {"qe_identity": "{}"}},
    {"qe_identity.signing_key": KEY},
    {"qe_identity.after_signing": reformatted},
    {"qe_identity.id": "TD_QE"},
    {"qe_identity.id": "QVE"},
    {"qe_identity.version": 1},
    {"qe_identity.version": 3},
    {"qe_identity.levels": ()},
    {"qe_identity.levels.1.isv_svn": 65536},
    {"qe_identity.levels.1.status": ""},
    {"qe_identity.mr_signer": bytes(31)},
    {"qe_identity.before_signing": replacing('"tcbEvaluationDataNumber":12,', "")},
    {"qe_identity.levels.1.isv_svn": 7},
    {"qe_identity.levels.1.isv_svn": 8},
    *(
        {"qe_identity.levels.1.status": status}
        for status in ("SWHardeningNeeded", "ConfigurationNeeded", "OutOfDateConfigurationNeeded")
    ),
    {"qe_identity.isv_prod_id": -1},
    {"qe_identity.misc_select_mask": bytes(5)},
    {"qe_identity.attributes": bytes(15)},
)

STEP_7 = changes(
    7,
    QuoteValidationError,
    {"quoting_enclave.report_signing_key": KEY},
    {"quoting_enclave.report.report_data": bytes(32)},
    {"quoting_enclave.report.overwrites": ((383, b"\x01"),)},
)

STEP_8 = changes(
    8,
    QuoteValidationError,
    {"quoting_enclave.report.misc_select": 1},
    {"quoting_enclave.report.attributes_flags": 0x17},
    {"quoting_enclave.report.attributes_flags": 0x04},
    {"quoting_enclave.report.mr_signer": bytes(32)},
    {"quoting_enclave.report.isv_prod_id": 2},
    {"quoting_enclave.report.isv_svn": 4},
)

STEP_9 = changes(
    9,
    QuoteValidationError,
    {"quoting_enclave.quote_signing_key": KEY},
    {"quoting_enclave.announced_key": bytes(64)},
    {"quoting_enclave.announced_key": b"\xff" * 64},
)

STEP_10 = changes(
    10,
    QuoteValidationError,
    {"pki.pck.sgx_extension.component_svns": (0,) * 16},
    {"pki.pck.sgx_extension.component_svns": (255, 255, 255, 255, 254, *[255] * 11)},
    {"pki.pck.sgx_extension.pce_svn": 9},
)

STEP_11 = changes(
    11,
    TcbStatusError,
    {"tcb_info.levels.0.status": "Revoked"},
    {"qe_identity.levels.0.status": "Revoked"},
    {"tcb_info.levels.0.status": "Revoked", "qe_identity.levels.0.status": "OutOfDate"},
)


@pytest.mark.parametrize(
    ("change", "error", "step"),
    [
        *STEP_1,
        *STEP_2,
        *STEP_3,
        *STEP_4,
        *STEP_5,
        *STEP_6,
        *STEP_7,
        *STEP_8,
        *STEP_9,
        *STEP_10,
        *STEP_11,
    ],
)
def test_one_thing_wrong_is_found_at_its_step(
    platforms: Platforms,
    change: dict[str, object],
    error: type[QuoteValidationError],
    step: int,
) -> None:
    platforms.case(change).refusal(error, step)


def test_sound_evidence_is_accepted(sound: Case) -> None:
    claims = sound.verify()
    assert claims.verified
    assert [report.number for report in claims.steps] == list(range(1, 13))


def test_an_emulated_root_is_not_intels(sound: Case) -> None:
    sound.but(trust_root=INTEL_SGX_ROOT).refusal(NotAnEnclaveError, 2)
