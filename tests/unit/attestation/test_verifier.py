"""The object that holds root and cache, and verifies whole evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tdx_builder import HELD, NOW, TdxBuilder

from blindai_async.attestation import (
    AttestationCache,
    EvidenceVerifier,
    Policy,
    PolicyMatch,
    SgxEvidence,
    TrustRoot,
)
from blindai_async.errors import AttestationError, IdentityError, QuoteValidationError

if TYPE_CHECKING:
    from datetime import datetime

    from blindai_async.attestation import DcapClaims

NONCE = bytes(range(32))
BUILDER = TdxBuilder(version=5).but(nonce=NONCE)


def tdx_evidence(nonce: bytes = NONCE) -> SgxEvidence:
    return SgxEvidence(
        quote=BUILDER.quote(),
        collateral=BUILDER.collateral(),
        enclave_held_data=HELD,
        nonce=nonce,
    )


@pytest.mark.parametrize("cached", [False, True])
def test_it_verifies_and_judges(
    evidence: SgxEvidence, claims: DcapClaims, root: TrustRoot, now: datetime, cached: bool
) -> None:
    verifier = EvidenceVerifier(root, AttestationCache() if cached else None)
    for _ in range(2):
        assert verifier.verify(evidence, Policy.for_claims(claims), at=now) == claims
    with pytest.raises(IdentityError):
        verifier.verify(
            evidence, Policy.for_claims(claims).model_copy(update={"mr_enclave": bytes(32)}), at=now
        )
    assert verifier.trust_root is root


def test_the_nonce_of_the_evidence_is_judged() -> None:
    verifier = EvidenceVerifier(BUILDER.root, AttestationCache())
    policy = Policy.for_claims(BUILDER.verify()).model_copy(update={"require_fresh": True})
    assert verifier.verify(tdx_evidence(), policy, at=NOW).fresh
    for nonce in (b"", bytes(32)):
        with pytest.raises(AttestationError, match="no fresh quote"):
            verifier.verify(tdx_evidence(nonce), policy, at=NOW)


def test_the_entry_that_matched_is_told() -> None:
    policy = Policy.for_claims(BUILDER.verify())
    rollover = Policy.any_of(policy.model_copy(update={"mr_td": (bytes(48),)}), policy)
    claims = EvidenceVerifier(BUILDER.root).verify(tdx_evidence(), rollover, at=NOW)
    assert claims.matched == PolicyMatch(1)


def test_evidence_without_collateral_is_refused_before_anything_is_verified() -> None:
    evidence = SgxEvidence(quote=b"quote", collateral=None, enclave_held_data=b"")
    with pytest.raises(QuoteValidationError, match="without collateral"):
        EvidenceVerifier().verify(evidence, Policy.for_claims(BUILDER.verify()))


def test_it_trusts_intel_unless_told_otherwise() -> None:
    with pytest.raises(QuoteValidationError) as caught:
        EvidenceVerifier().verify(tdx_evidence(), Policy.for_claims(BUILDER.verify()), at=NOW)
    assert caught.value.step == 2
    assert "Intel SGX Root CA" in repr(EvidenceVerifier())
