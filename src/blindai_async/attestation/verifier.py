"""The verifier of evidence: an object that holds whom to trust and what was proven before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from blindai_async.attestation.appraisal import verify_claims
from blindai_async.attestation.errors import QuoteValidationError
from blindai_async.attestation.x509.trust_root import INTEL_SGX_ROOT, TrustRoot
from blindai_async.attestation.x509.validity import utc

if TYPE_CHECKING:
    from datetime import datetime

    from blindai_async.attestation.cache import AttestationCache
    from blindai_async.attestation.claims import Claims
    from blindai_async.attestation.evidence import SgxEvidence
    from blindai_async.attestation.policy import Policy

__all__ = ["EvidenceVerifier"]


class EvidenceVerifier:
    """Verifies evidence of any kind, and holds what it proves against a policy.

    Args:
        trust_root: the root that evidence must lead back to.
        cache: a memory of what was proven; None verifies everything anew each time. It can be
            shared with other verifiers, also under other roots.
    """

    def __init__(
        self, trust_root: TrustRoot = INTEL_SGX_ROOT, cache: AttestationCache | None = None
    ) -> None:
        self._trust_root = trust_root
        self._cache = cache

    def __repr__(self) -> str:
        return f"<EvidenceVerifier under {self._trust_root.name!a}>"

    @property
    def trust_root(self) -> TrustRoot:
        """The root that evidence must lead back to."""
        return self._trust_root

    def verify(
        self, evidence: SgxEvidence, policy: Policy, *, at: datetime | None = None
    ) -> Claims:
        """Verify evidence and demand that the policy accepts what it proves.

        Args:
            evidence: quote, collateral, enclave held data, and the nonce that was sent.
            policy: what the enclave or TD has to be.
            at: the time to judge at, with a time zone; the present where None.

        Returns:
            The proven claims; of a policy of several entries, with the one that accepted them
            (`Claims.matched`).

        Raises:
            AttestationError: the evidence does not hold, or the policy refuses it.
            ValueError: `at` has no time zone.
        """
        if evidence.collateral is None:
            raise QuoteValidationError(
                "the evidence came without collateral; a quote alone proves nothing"
            )
        moment = utc(at)
        if self._cache is not None:
            verify = self._cache.verify
        else:
            from blindai_async.attestation.dcap.steps import (  # noqa: PLC0415 - see the package
                verify_dcap_attestation as verify,
            )
        claims = verify(
            evidence.quote,
            evidence.collateral,
            evidence.enclave_held_data,
            trust_root=self._trust_root,
            at=moment,
            nonce=evidence.nonce,
        )
        return verify_claims(claims, policy, at=moment)
