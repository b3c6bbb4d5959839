"""The report of an attestation, as text, for machines, and as a page."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from blindai_async.attestation import (
    INTEL_SGX_ROOT,
    DcapClaims,
    Outcome,
    PolicyMatch,
    SgxCollateral,
    TrustRoot,
    verify_dcap_attestation,
)
from blindai_async.cli.attestation_report import AttestationReport
from blindai_async.cli.report_html import report_page
from blindai_async.errors import IdentityError, QuoteValidationError
from blindai_async.server.tee.emulated import EmulatedPlatform

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)

pytestmark = pytest.mark.filterwarnings("ignore::blindai_async.errors.SecurityWarning")


def verify(platform: EmulatedPlatform, root: EmulatedPlatform) -> DcapClaims:
    evidence = platform.evidence()
    return verify_dcap_attestation(
        evidence.quote,
        SgxCollateral(**evidence.collateral),
        evidence.enclave_held_data,
        trust_root=TrustRoot.from_pem(root.root_pem),
        at=NOW,
    )


@pytest.fixture(scope="module")
def platform() -> EmulatedPlatform:
    return EmulatedPlatform(now=NOW)


@pytest.fixture
def accepted(platform: EmulatedPlatform) -> AttestationReport:
    return AttestationReport("host", NOW, "policy.toml", verify(platform, platform))


@pytest.fixture
def unproven(platform: EmulatedPlatform) -> AttestationReport:
    with pytest.raises(QuoteValidationError) as caught:
        verify(platform, EmulatedPlatform(now=NOW))
    return AttestationReport.refused("host", NOW, "policy.toml", caught.value)


def test_an_accepted_enclave_is_shown_with_every_step(
    accepted: AttestationReport, platform: EmulatedPlatform
) -> None:
    text = "\n".join(accepted.lines())
    assert platform.mr_enclave.hex() in text
    assert text.count(" passed ") == 13  # twelve steps and the policy
    assert "UpToDate" in text
    assert "UNPROVEN" not in text


def test_only_intels_root_gives_a_plain_and_green_acceptance(accepted: AttestationReport) -> None:
    """The emulated root calls itself what Intel's does: no report may be filed as the other."""
    assert accepted.verdict.startswith("accepted UNDER A ROOT THAT IS NOT INTEL'S")
    assert "trust root   not Intel's: Intel SGX Root CA" in "\n".join(accepted.lines())
    assert 'class="verdict failed"' in report_page(accepted)
    assert accepted.as_json()["intels_root"] is False

    assert accepted.claims is not None
    real = accepted.claims.model_copy(update={"trust_root": INTEL_SGX_ROOT.name})
    genuine = AttestationReport("host", NOW, "policy.toml", real)
    assert genuine.verdict == "accepted"
    assert 'class="verdict passed"' in report_page(genuine)
    assert genuine.as_json()["intels_root"] is True


def test_what_is_unproven_is_called_so(unproven: AttestationReport) -> None:
    text = "\n".join(unproven.lines())
    assert "REFUSED (NotAnEnclaveError)" in text
    assert " 2 failed" in text
    assert "UNPROVEN" in text
    assert "expires" not in text
    assert unproven.as_json()["accepted"] is False
    assert unproven.as_json()["proven"] is False
    assert "UNPROVEN" in report_page(unproven)


def test_a_policy_may_refuse_what_is_proven(accepted: AttestationReport) -> None:
    claims = accepted.claims
    assert claims is not None
    refusal = IdentityError("another", expected_hash="a", measured_hash="b", claims=claims)
    report = AttestationReport.refused("host", NOW, "policy.toml", refusal)
    assert report.proven
    assert report.as_json()["accepted"] is False
    assert "REFUSED" in report_page(report)
    assert report.lines()[-1 - len(report.facts()) - 1] == "   failed       Policy"
    assert report.as_json()["checks"] == [
        {"name": "policy", "outcome": "failed", "detail": "another"}
    ]
    assert '<td class="outcome failed">failed</td><td class="detail">another</td>' in report_page(
        report
    )


def test_the_policy_is_not_reached_where_the_evidence_does_not_hold(
    unproven: AttestationReport,
) -> None:
    assert unproven.policy_check.outcome == "not reached"
    assert "   not reached  Policy" in unproven.lines()


def test_nothing_is_accepted_without_saying_that_nothing_is_proven() -> None:
    report = AttestationReport("a.proof", NOW, "built in", None)
    assert "WITHOUT EVIDENCE" in report.verdict
    assert report.as_json()["proven"] is False
    assert "WITHOUT EVIDENCE" in report_page(report)


def test_machines_read_the_same(accepted: AttestationReport, platform: EmulatedPlatform) -> None:
    read = json.loads(json.dumps(accepted.as_json()))
    assert read["accepted"] is True
    assert read["claims"]["mr_enclave"] == platform.mr_enclave.hex()
    assert [step["outcome"] for step in read["claims"]["steps"]] == [Outcome.PASSED] * 12


@pytest.mark.parametrize(
    "spoil",
    [
        lambda claims, text: AttestationReport(text, NOW, "p", claims),
        lambda claims, text: AttestationReport("s", NOW, text, claims),
        lambda claims, text: AttestationReport(
            "s", NOW, "p", claims.model_copy(update={"advisory_ids": (text,)})
        ),
        lambda claims, text: AttestationReport.refused(
            "s", NOW, "p", QuoteValidationError(text, claims=claims)
        ),
    ],
    ids=["subject", "policy", "advisory", "refusal"],
)
def test_a_page_obeys_no_text_of_the_server(
    spoil: Callable[[DcapClaims, str], AttestationReport], accepted: AttestationReport
) -> None:
    assert accepted.claims is not None
    page = report_page(spoil(accepted.claims, "<script>alert('x')</script>"))
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_a_page_needs_nothing_from_elsewhere(accepted: AttestationReport) -> None:
    page = report_page(accepted)
    assert "default-src 'none'" in page
    for loader in ("http://", "https://", "src=", "href=", "url("):
        assert loader not in page


@pytest.fixture(scope="module")
def trust_domain() -> EmulatedPlatform:
    return EmulatedPlatform("tdx", quote_version=5, now=NOW)


def test_a_trust_domain_is_shown_with_its_registers_and_module(
    trust_domain: EmulatedPlatform,
) -> None:
    claims = verify(trust_domain, trust_domain)
    claims = claims.model_copy(update={"matched": PolicyMatch(1, "new")})
    report = AttestationReport("host", NOW, "p", claims, collateral="the server")
    page = report_page(report)
    for text in ("\n".join(report.lines()), page):
        for measurement in (claims.mr_td, *claims.rtmrs, claims.mr_seam):
            assert measurement.hex() in text
        assert "usually boot loader and kernel" in text
        assert "TDX module" in text
        assert "launched: UpToDate, loaded: UpToDate" in text
        assert f"data number {claims.tcb_evaluation_data_number}" in text
        assert "entry 2 of the policy, new" in text
        assert "from the server" in text
        assert "TDX" in text


def test_what_identifies_a_machine_is_shown_only_where_it_was_asked_for(
    accepted: AttestationReport,
) -> None:
    claims = accepted.claims
    assert claims is not None
    assert claims.platform is not None
    known = claims.platform.model_copy(update={"instance_id": b"instance-of-a-pc"})
    claims = claims.model_copy(update={"platform": known})
    for shown in (False, True):
        report = AttestationReport("host", NOW, "p", claims, show_platform=shown)
        for text in ("\n".join(report.lines()), report_page(report), json.dumps(report.as_json())):
            assert (claims.ppid.hex() in text) is shown
            assert (known.instance_id.hex() in text) is shown
