"""Claims: values that travel, and that tell proven from unproven."""

from __future__ import annotations

import json
import pickle
from typing import TYPE_CHECKING

import pytest
from pydantic import ValidationError

from blindai_async.attestation import DcapClaims, TcbStatus, verify_dcap_attestation
from blindai_async.attestation.claims import STEPS
from blindai_async.attestation.dcap.quote import parse_quote
from blindai_async.attestation.dcap.report_builder import Progress
from blindai_async.errors import EnclaveHeldDataError, NotAnEnclaveError, QuoteValidationError

if TYPE_CHECKING:
    from datetime import datetime

    from blindai_async.attestation import SgxCollateral, SgxEvidence, TrustRoot


def test_they_are_frozen_values(claims: DcapClaims) -> None:
    with pytest.raises(ValidationError):
        claims.debug = True  # type: ignore[misc]  # what must not work
    assert pickle.loads(pickle.dumps(claims)) == claims
    assert hash(claims) == hash(pickle.loads(pickle.dumps(claims)))
    assert DcapClaims.model_validate_json(claims.model_dump_json()) == claims
    assert json.loads(claims.model_dump_json())["mr_enclave"] == claims.mr_enclave.hex()


def test_they_split_the_attributes(claims: DcapClaims) -> None:
    assert claims.attributes_flags == 0x5
    assert claims.attributes_xfrm == 0xE7
    assert not claims.debug


def test_the_report_names_every_step(claims: DcapClaims) -> None:
    assert [(step.number, step.name) for step in claims.steps] == list(enumerate(STEPS, start=1))
    assert all(step.detail for step in claims.steps)


def test_errors_carry_what_was_read_until_then_and_can_be_pickled(
    evidence: SgxEvidence, collateral: SgxCollateral, root: TrustRoot, now: datetime
) -> None:
    with pytest.raises(EnclaveHeldDataError) as late:
        verify_dcap_attestation(evidence.quote, collateral, b"", trust_root=root, at=now)
    claims = late.value.claims
    assert claims is not None
    assert claims.tcb_status is TcbStatus.UP_TO_DATE
    assert claims.fmspc == b"EMULAT"
    assert claims.valid_from < now < claims.valid_until
    with pytest.raises(NotAnEnclaveError) as early:
        verify_dcap_attestation(evidence.quote, collateral, b"", at=now)
    claims = early.value.claims
    assert claims is not None
    assert not claims.verified
    assert claims.mr_enclave
    # What was not reached has values that nothing accepts.
    assert claims.tcb_status is TcbStatus.UNKNOWN
    assert claims.fmspc == b""
    assert claims.valid_until < now < claims.valid_from
    for error in (late.value, early.value):
        copied = pickle.loads(pickle.dumps(error))
        assert (type(copied), str(copied), copied.__dict__) == (
            type(error),
            str(error),
            error.__dict__,
        )


def test_a_verification_that_left_a_step_out_proves_nothing(
    evidence: SgxEvidence, root: TrustRoot
) -> None:
    progress = Progress(root, b"")
    with pytest.raises(QuoteValidationError, match="all of its steps"):
        progress.proven_claims()
    progress.report = parse_quote(evidence.quote).report
    for _ in range(11):
        progress.passed("passed")
    with pytest.raises(QuoteValidationError, match="all of its steps"):
        progress.proven_claims()
