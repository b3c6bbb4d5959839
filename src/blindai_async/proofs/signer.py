"""Who signed a kept response: the enclave that its evidence proves, a key, or nobody knows."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from blindai_async.attestation import EvidenceVerifier
from blindai_async.attestation import enclave_signing_key as signing_key_of
from blindai_async.errors import AttestationError, SignatureError, SimulationProofError
from blindai_async.proofs.appraisal import CheckOutcome
from blindai_async.proofs.signature import verify_signature

if TYPE_CHECKING:
    from blindai_async.attestation import Claims, SgxEvidence
    from blindai_async.proofs.appraisal import CheckRecorder
    from blindai_async.proofs.proof_policy import ProofPolicy
    from blindai_async.proofs.signature import SigningKey
    from blindai_async.proofs.signed_response import SignedResponse

__all__ = ["SIGNER_CHECKS", "verify_signer"]

_EVIDENCE_CHECKS: Final = ("evidence", "policy", "freshness")
SIGNER_CHECKS: Final = (*_EVIDENCE_CHECKS, "signature")
"""What `verify_signer` checks, in order."""

# As the verifier words what is judged outside of its time.
_OUT_OF_TIME = re.compile(r"has expired at|is not valid before")


def verify_signer(response: SignedResponse, demands: ProofPolicy, checks: CheckRecorder) -> None:
    """Establish who signed a response, and that it is signed; `checks` keeps what was found.

    Raises:
        AttestationError: the evidence is missing, does not hold, or the policy refuses it.
        SignatureError: the payload is not signed, or not by the key that was proven or given.
    """
    payload, signature = response.payload, response.signature
    if payload is None or not signature:
        # An empty signature reads as present in the original client: it accepted such proofs.
        raise checks.failed(
            "signature", SignatureError("the response is not signed: it proves nothing")
        )
    key = demands.enclave_signing_key
    if response.attestation is None:
        _accept_simulation(demands, checks)
    elif demands.validate_quote:
        checks.claims = _verify_evidence(response.attestation, demands, checks)
        key = _proven_key(checks.claims, key, checks)
    else:
        _trust_key_alone(key, checks)
    if key is None:
        checks.note(
            "signature",
            CheckOutcome.NOT_CHECKED,
            "simulation mode proves no key, and none was given",
        )
    else:
        with checks.check("signature", "signed by the enclave's key"):
            verify_signature(key, signature, payload)


def _accept_simulation(demands: ProofPolicy, checks: CheckRecorder) -> None:
    if not demands.allow_simulation_mode:
        raise checks.failed(
            "evidence",
            SimulationProofError(
                "the response came from a server in simulation mode: nothing proves that an "
                "enclave gave it; allow_simulation_mode=True accepts that"
            ),
        )
    for name in _EVIDENCE_CHECKS:
        checks.note(name, CheckOutcome.NOT_CHECKED, "simulation mode: there is no evidence")


def _verify_evidence(evidence: SgxEvidence, demands: ProofPolicy, checks: CheckRecorder) -> Claims:
    """Verify the evidence and hold it against the policy on the enclave."""
    policy = demands.enclave_policy()
    try:
        claims = EvidenceVerifier(demands.trust_root).verify(evidence, policy, at=demands.at)
    except AttestationError as error:
        if error.policy is None:
            checks.failed("evidence", error)
            if _OUT_OF_TIME.search(str(error)):
                checks.failed("freshness", error)
        else:  # the evidence held, and proves what the policy refuses
            _note_evidence(error.claims, checks)
            checks.failed("policy", error)
        raise
    _note_evidence(claims, checks)
    checks.note("policy", CheckOutcome.PASSED, "the enclave is one that the policy accepts")
    return claims


def _note_evidence(claims: Claims | None, checks: CheckRecorder) -> None:
    if claims is not None:
        held = f"every step passed; root of trust: {claims.trust_root}"
        checks.note("evidence", CheckOutcome.PASSED, held)
        checks.note(
            "freshness",
            CheckOutcome.PASSED,
            f"the evidence holds from {claims.valid_from:%Y-%m-%d %H:%M:%S} to "
            f"{claims.valid_until:%Y-%m-%d %H:%M:%S} UTC; nothing proves when the answer was given",
        )


def _proven_key(claims: Claims, given: SigningKey | None, checks: CheckRecorder) -> bytes:
    """The key that the evidence proves, which has to be the one given, if there is one."""
    with checks.check("signature", ""):
        proven = signing_key_of(claims.enclave_held_data)
    if given not in (None, proven):
        raise checks.failed(
            "signature",
            SignatureError("the evidence proves another signing key than the one given"),
        )
    return proven


def _trust_key_alone(key: SigningKey | None, checks: CheckRecorder) -> None:
    for name in _EVIDENCE_CHECKS:
        checks.note(name, CheckOutcome.NOT_CHECKED, "the signing key alone is trusted")
    if key is None:
        raise checks.failed(
            "signature",
            SignatureError(
                "without its evidence (validate_quote=False) only a key can judge a response: "
                "pass enclave_signing_key="
            ),
        )
