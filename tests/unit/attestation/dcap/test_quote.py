"""The quote's parser: every field at its place, and every other length refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blindai_async.attestation.dcap.quote import parse_quote
from blindai_async.attestation.parsing import MAX_QUOTE_BYTES, EvidenceError

if TYPE_CHECKING:
    from blindai_async.attestation import SgxEvidence
    from blindai_async.server.tee.emulated import EmulatedPlatform


def test_every_field_is_found(platform: EmulatedPlatform, evidence: SgxEvidence) -> None:
    quote, enclave = parse_quote(evidence.quote), platform.blueprint.enclave
    assert quote.signed_part == evidence.quote[:432]
    assert quote.report.raw == evidence.quote[48:432]
    assert quote.report.mr_enclave == enclave.mr_enclave
    assert quote.report.mr_signer == enclave.mr_signer
    assert quote.report.isv_prod_id == enclave.isv_prod_id
    assert quote.report.isv_svn == enclave.isv_svn
    assert quote.report.misc_select == enclave.misc_select
    assert quote.report.attributes == bytes([5, *[0] * 7, 0xE7, *[0] * 7])
    qe = platform.blueprint.quoting_enclave
    assert quote.signatures.qe_report.mr_signer == qe.report.mr_signer
    assert quote.signatures.qe_report.isv_svn == qe.report.isv_svn
    assert quote.signatures.authentication_data == qe.authentication_data
    assert quote.pck_chain is not None
    assert quote.pck_chain.count("-----BEGIN CERTIFICATE-----") == 3


def test_the_fields_are_where_the_layout_says(platform: EmulatedPlatform) -> None:
    changes = {
        "enclave.misc_select": 0x01020304,
        "enclave.isv_prod_id": 0x0506,
        "enclave.isv_svn": 0x0708,
        "enclave.attributes_flags": 0x1112131415161718,
        "enclave.attributes_xfrm": 0x2122232425262728,
    }
    report = parse_quote(platform.with_changes(changes).evidence().quote).report
    assert report.misc_select == 0x01020304
    assert (report.isv_prod_id, report.isv_svn) == (0x0506, 0x0708)
    assert report.attributes.hex() == "18171615141312112827262524232221"


def test_a_quote_that_names_its_platform_has_no_chain(platform: EmulatedPlatform) -> None:
    for kind in (1, 2, 3):
        changes = {"quote.certification_type": kind, "quote.certification_data": b"PPID"}
        quote = platform.with_changes(changes).evidence().quote
        assert parse_quote(quote).pck_chain is None


def test_every_shorter_quote_is_refused(evidence: SgxEvidence) -> None:
    for length in range(len(evidence.quote)):
        with pytest.raises(EvidenceError):
            parse_quote(evidence.quote[:length])


def test_a_quote_of_megabytes_is_refused() -> None:
    with pytest.raises(EvidenceError, match="more than"):
        parse_quote(bytes(MAX_QUOTE_BYTES + 1))


@given(st.binary(max_size=1500), st.integers(0, 1016))
def test_arbitrary_bytes_raise_nothing_else(
    evidence: SgxEvidence, data: bytes, offset: int
) -> None:
    spliced = evidence.quote[:offset] + data + evidence.quote[offset + len(data) :]
    for candidate in (data, evidence.quote[:offset] + data, spliced):
        try:
            parse_quote(candidate)
        except EvidenceError:
            continue
