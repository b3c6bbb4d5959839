"""Parts of collateral as Intel's service gives them, and as it does not."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blindai_async.attestation.parsing import EvidenceError
from blindai_async.collateral.parts import (
    crl_text,
    read_pck_certificate,
    read_pck_crl,
    read_qe_identity,
    read_root_crl,
    read_tcb_info,
)
from blindai_async.server.tee.emulated import EmulatedPlatform

PCS = Path(__file__).parents[4] / "shared" / "fixtures" / "pcs"
FMSPC = bytes.fromhex("00906ed50000")


def body_of(name):
    if not (PCS / name).is_file():
        pytest.skip("the answers of Intel's service are not here")
    content = json.loads((PCS / name).read_text())
    key = next(key for key in content if key != "issuer_chain")
    text = content[key]
    body = base64.b64decode(text) if key.endswith("base64") else text.encode()
    return body, content["issuer_chain"]


@pytest.mark.parametrize(
    ("name", "tee", "fmspc", "number"),
    [
        ("sgx_tcb_info_00906ED50000.json", "sgx", FMSPC, 17),
        ("sgx_tcb_info_early.json", "sgx", FMSPC, 19),
        ("sgx_tcb_info_v3.json", "sgx", FMSPC, 17),
        ("tdx_tcb_info.json", "tdx", bytes.fromhex("00806f050000"), 17),
    ],
)
def test_intels_tcb_infos_are_read(name, tee, fmspc, number):
    body, chain = body_of(name)
    part = read_tcb_info(body, chain, tee=tee, fmspc=fmspc)
    assert part.text.encode() == body
    assert part.evaluation_number == number
    assert part.issuer == "Intel SGX TCB Signing"
    assert part.valid_from.date() == datetime(2025, 5, 27, tzinfo=UTC).date()
    assert part.valid_until.date() == datetime(2025, 6, 26, tzinfo=UTC).date()
    with pytest.raises(EvidenceError, match="it is for"):
        read_tcb_info(body, chain, tee="tdx" if tee == "sgx" else "sgx", fmspc=fmspc)
    with pytest.raises(EvidenceError, match="of FMSPC"):
        read_tcb_info(body, chain, tee=tee, fmspc=bytes(6))


@pytest.mark.parametrize(
    ("name", "tee"), [("sgx_qe_identity.json", "sgx"), ("tdx_qe_identity.json", "tdx")]
)
def test_intels_qe_identities_are_read(name, tee):
    body, chain = body_of(name)
    assert read_qe_identity(body, chain, tee=tee).evaluation_number == 17
    with pytest.raises(EvidenceError, match="it is for"):
        read_qe_identity(body, chain, tee="tdx" if tee == "sgx" else "sgx")


@pytest.mark.parametrize(
    ("name", "issuer"),
    [
        ("pck_crl_platform.json", "Intel SGX PCK Platform CA"),
        ("pck_crl_processor_der.json", "Intel SGX PCK Processor CA"),
    ],
)
def test_intels_revocation_lists_are_read(name, issuer):
    part = read_pck_crl(*body_of(name))
    assert part.issuer == issuer
    assert part.evaluation_number is None


def test_one_kind_is_not_taken_for_another():
    tcb_info, signer = body_of("sgx_tcb_info_00906ED50000.json")
    crl, ca = body_of("pck_crl_processor_der.json")
    with pytest.raises(EvidenceError):
        read_qe_identity(tcb_info, signer, tee="sgx")
    with pytest.raises(EvidenceError, match="its issuer is"):
        read_tcb_info(tcb_info, ca, tee="sgx", fmspc=FMSPC)
    with pytest.raises(EvidenceError, match="its issuer is"):
        read_pck_crl(crl, signer)
    with pytest.raises(EvidenceError, match="not signed by"):
        read_pck_crl(crl, body_of("pck_crl_platform.json")[1])
    with pytest.raises(EvidenceError, match="chain"):
        read_root_crl(crl, ca)


def test_each_bit_of_a_signed_part_counts():
    body, chain = body_of("tdx_qe_identity.json")
    for position in range(0, len(body), 7):
        spoilt = body[:position] + bytes([body[position] ^ 1]) + body[position + 1 :]
        # The name of a key may change its case in hex, nothing else may.
        if spoilt.lower() != body.lower():
            with pytest.raises(EvidenceError):
                read_qe_identity(spoilt, chain, tee="tdx")


@pytest.fixture(scope="module")
def collateral():
    return {name: str(text) for name, text in EmulatedPlatform().collateral().items()}


def test_a_chain_that_does_not_lead_to_a_root_is_refused(collateral):
    begin = "-----BEGIN"
    leaf = begin + collateral["tcb_info_issuer_chain"].split(begin)[1]
    body = collateral["tcb_info"].encode()
    with pytest.raises(EvidenceError, match="does not lead to a root"):
        read_tcb_info(body, leaf, tee="sgx", fmspc=None)
    other = EmulatedPlatform().collateral()["tcb_info_issuer_chain"]
    mixed = leaf + begin + str(other).split(begin)[2]
    with pytest.raises(EvidenceError, match="does not lead to a root"):
        read_tcb_info(body, mixed, tee="sgx", fmspc=None)


def test_a_part_ends_with_the_first_of_its_issuers():
    platform = EmulatedPlatform()
    soon = platform.blueprint.tcb_info.issue_date.replace(microsecond=0)
    early = platform.with_changes({"pki.tcb_signer.not_after": soon}).collateral()
    text, chain = str(early["tcb_info"]), str(early["tcb_info_issuer_chain"])
    assert read_tcb_info(text.encode(), chain, tee="sgx", fmspc=None).valid_until == soon


def test_a_pck_certificate_is_one_alone(collateral):
    pem, chain = collateral["pck_certificate"].encode(), collateral["pck_signing_chain"]
    assert read_pck_certificate(pem, chain).issuer == "Intel SGX PCK Platform CA"
    with pytest.raises(EvidenceError, match="2 certificates"):
        read_pck_certificate(pem + pem, chain)
    ca = "-----BEGIN" + chain.split("-----BEGIN")[1]
    with pytest.raises(EvidenceError, match="not a platform's"):
        read_pck_certificate(ca.encode(), chain)


def test_a_revocation_list_in_any_encoding_is_the_same(collateral):
    pem = collateral["pck_crl"].encode()
    der = base64.b64decode(b"".join(pem.splitlines()[1:-1]))
    assert crl_text(der) == crl_text(der.hex().encode()) == der.hex()
    chain = collateral["pck_crl_issuer_chain"]
    parts = {read_pck_crl(body, chain).valid_until for body in (pem, der, der.hex().encode())}
    assert len(parts) == 1


@given(st.binary(max_size=300), st.text(max_size=300))
def test_arbitrary_bytes_are_refused_and_nothing_worse(body, chain):
    for read in (
        lambda: read_tcb_info(body, chain, tee="sgx", fmspc=None),
        lambda: read_qe_identity(body, chain, tee=None),
        lambda: read_pck_crl(body, chain),
        lambda: read_root_crl(body),
        lambda: read_pck_certificate(body, chain),
    ):
        with pytest.raises(EvidenceError):
            read()


@given(
    st.dictionaries(
        st.sampled_from(["id", "version", "fmspc", "issueDate", "nextUpdate"]),
        st.none() | st.integers() | st.text(max_size=9) | st.lists(st.integers()),
    )
)
def test_any_json_is_refused_and_nothing_worse(content):
    body = json.dumps({"tcbInfo": content, "signature": "ab" * 64}).encode()
    with pytest.raises(EvidenceError):
        read_tcb_info(body, "", tee="sgx", fmspc=None)
