"""The verification of SGX DCAP evidence: twelve steps, each a short function.

Source: sgx-dcap.md, "Steps", after Intel's "SGX ECDSA Quote Library Reference". Steps 2 to 6 stand
in `collateral_steps`.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final, Protocol

from cryptography.hazmat.primitives.asymmetric import ec

from blindai_async.attestation.dcap.collateral_steps import verify_collateral
from blindai_async.attestation.dcap.quote import Quote, parse_quote
from blindai_async.attestation.dcap.report_builder import Progress, TcbVerdict, VerifiedCollateral
from blindai_async.attestation.dcap.signed_json import ecdsa_signature
from blindai_async.attestation.dcap.tcb import (
    PlatformTcbLevel,
    QeTcbLevel,
    TcbStatus,
    matching_platform_level,
    matching_qe_level,
    merge_statuses,
)
from blindai_async.attestation.parsing import EvidenceError
from blindai_async.attestation.x509.certificates import verify_signature
from blindai_async.attestation.x509.trust_root import INTEL_SGX_ROOT, TrustRoot
from blindai_async.attestation.x509.validity import utc
from blindai_async.errors import EnclaveHeldDataError, QuoteValidationError, TcbStatusError

if TYPE_CHECKING:
    from datetime import datetime

    from blindai_async.attestation.claims import DcapClaims
    from blindai_async.attestation.dcap.collateral import QeIdentity, TcbInfo
    from blindai_async.attestation.dcap.pck import PckExtension
    from blindai_async.attestation.evidence import SgxCollateral
    from blindai_async.attestation.x509.certificates import Certificate

__all__ = ["CollateralVerifier", "verify_dcap_attestation", "verify_with"]

_DIGEST_BYTES: Final = 32
_UNUSED_REPORT_DATA: Final = bytes(32)


def verify_dcap_attestation(
    quote: bytes,
    collateral: SgxCollateral,
    enclave_held_data: bytes,
    *,
    trust_root: TrustRoot = INTEL_SGX_ROOT,
    at: datetime | None = None,
) -> DcapClaims:
    """Verify that a quote was made by a genuine enclave, for these data, on a known platform.

    The steps, in order:

     1. The quote is whole: an SGX quote of version 3 by Intel's quoting enclave, nothing more.
     2. The PCK chain ends in the trusted root, which verifies itself.
     3. The PCK chain is sound; the leaf names its platform.
     4. The revocation lists are signed and current; PCK, CA and TCB signer are not on them.
     5. The TCB info is signed, current, and of this platform.
     6. The QE identity is signed by the same signer, and current.
     7. The quoting enclave's report is signed by the PCK, and vouches for the attestation key.
     8. That report is of the quoting enclave that the identity describes.
     9. The enclave's report is signed by the attestation key.
    10. The platform reaches a level of the TCB info.
    11. The platform's status and the quoting enclave's are merged; it is not `Revoked`.
    12. The report data begin with the digest of the enclave held data.

    What it leaves to the caller: whether it is the *expected* enclave, and whether the TCB status
    that is returned is good enough (`verify_claims`); and to speak only over TLS that is pinned to
    the certificate that `enclave_held_data` is. A quote holds no nonce: it proves that the enclave
    has existed and held these data, not that it runs now. TLS with the pinned key proves the rest.

    Args:
        quote: the SGX quote.
        collateral: Intel's signed statements about the platform.
        enclave_held_data: what the quote was made for: the enclave's TLS certificate, DER.
        trust_root: the root that the certificates must lead back to.
        at: the time to judge at, with a time zone; the present where None. For archived evidence,
            name the time at which you know that it existed; never take it from the evidence.

    Returns:
        The proven claims, with the outcome of every step.

    Raises:
        NotAnEnclaveError: the certificates do not lead back to the root, or are revoked (2 to 4).
        TcbStatusError: the platform is revoked (step 11).
        EnclaveHeldDataError: the quote was made for other data (step 12).
        QuoteValidationError: any other step failed. All of them carry ``step`` and ``claims``,
            the latter unproven, with what was read until then.
        ValueError: `at` has no time zone.
    """
    return verify_with(verify_collateral, quote, collateral, enclave_held_data, trust_root, utc(at))


class CollateralVerifier(Protocol):
    """Takes steps 2 to 6: `verify_collateral`, or a cache in front of it."""

    def __call__(
        self,
        collateral: SgxCollateral,
        quoted_chain: str | None,
        trust_root: TrustRoot,
        at: datetime,
        progress: Progress,
        /,
    ) -> VerifiedCollateral:
        """Return what the steps established, or raise their errors."""


def verify_with(
    collateral_verifier: CollateralVerifier,
    quote: bytes,
    collateral: SgxCollateral,
    enclave_held_data: bytes,
    trust_root: TrustRoot,
    at: datetime,
) -> DcapClaims:
    """Take all twelve steps, leaving steps 2 to 6 to `collateral_verifier`."""
    progress = Progress(trust_root, enclave_held_data)
    try:
        parsed = _step_1_parse_quote(quote)
        progress.report = parsed.report
        progress.passed("version 3, ECDSA P-256")
        verified = collateral_verifier(collateral, parsed.pck_chain, trust_root, at, progress)
        progress.adopt(verified)
        _verify_quote(parsed, verified, enclave_held_data, progress)
    except EvidenceError as cause:
        error = progress.failure(cause)
        error.claims = progress.claims(error)
        raise error from cause
    except QuoteValidationError as error:
        error.claims = progress.claims(error)
        raise
    return progress.proven_claims()


def _verify_quote(
    quote: Quote, verified: VerifiedCollateral, enclave_held_data: bytes, progress: Progress
) -> None:
    """Take steps 7 to 12."""
    _step_7_qe_report_signature(quote, verified.pck)
    progress.passed("signed by the platform's PCK")
    qe_level = _step_8_qe_identity(quote, verified.qe_identity)
    progress.passed(f"ISV SVN {quote.qe_report.isv_svn}: {qe_level.status}")
    _step_9_enclave_report_signature(quote)
    progress.passed(f"MRENCLAVE {quote.report.mr_enclave.hex()}")
    platform_level = _step_10_platform_level(verified.tcb_info, verified.platform)
    progress.passed(f"level of {platform_level.date.date()}: {platform_level.status}")
    progress.verdict = _step_11_merge(platform_level, qe_level)
    _require_not_revoked(progress.verdict)
    progress.passed(progress.verdict.status.value)
    _step_12_binding(quote, enclave_held_data)
    progress.passed("bound to the enclave held data")


def _step_1_parse_quote(quote: bytes) -> Quote:
    """Step 1: the quote is whole, of the known kind, and nothing follows it."""
    return parse_quote(quote)


def _step_7_qe_report_signature(quote: Quote, pck: Certificate) -> None:
    """Step 7: the PCK signed the QE report, which holds the digest of the attestation key."""
    if not verify_signature(
        pck.key, ecdsa_signature(quote.qe_report_signature), quote.qe_report.raw
    ):
        raise EvidenceError("the QE report is not signed by the platform's PCK")
    digest = hashlib.sha256(quote.attestation_key + quote.authentication_data).digest()
    if quote.qe_report.report_data != digest + _UNUSED_REPORT_DATA:
        raise EvidenceError("the QE report is for another attestation key")


def _step_8_qe_identity(quote: Quote, identity: QeIdentity) -> QeTcbLevel:
    """Step 8: the QE report is of the quoting enclave that Intel describes."""
    report = quote.qe_report
    attributes = int.from_bytes(report.attributes, "little")
    if report.misc_select & identity.misc_select_mask != identity.misc_select:
        raise EvidenceError("the quoting enclave's MISCSELECT is not Intel's")
    if attributes & identity.attributes_mask != identity.attributes:
        raise EvidenceError("the quoting enclave's attributes are not Intel's")
    if report.mr_signer != identity.mr_signer:
        raise EvidenceError("the quoting enclave is not signed by Intel's key")
    if report.isv_prod_id != identity.isv_prod_id:
        raise EvidenceError("the quoting enclave is another product of Intel's")
    level = matching_qe_level(identity.levels, report.isv_svn)
    if level is None:
        raise EvidenceError("the quoting enclave is older than every level of its identity")
    return level


def _step_9_enclave_report_signature(quote: Quote) -> None:
    """Step 9: the attestation key signed the header and the enclave's report."""
    try:
        key = ec.EllipticCurvePublicKey.from_encoded_point(
            ec.SECP256R1(), b"\x04" + quote.attestation_key
        )
    except ValueError as error:
        raise EvidenceError("the attestation key is not a point on P-256") from error
    if not verify_signature(key, ecdsa_signature(quote.signature), quote.signed_part):
        raise EvidenceError("the enclave's report is not signed by the attestation key")


def _step_10_platform_level(tcb_info: TcbInfo, platform: PckExtension) -> PlatformTcbLevel:
    """Step 10: the platform reaches a level of the TCB info; the first one counts."""
    level = matching_platform_level(tcb_info.levels, platform.tcb)
    if level is None:
        raise EvidenceError("the platform is older than every level of its TCB info")
    return level


def _step_11_merge(platform: PlatformTcbLevel, qe: QeTcbLevel) -> TcbVerdict:
    """Step 11: the platform's status is merged with the quoting enclave's, advisories joined."""
    return TcbVerdict.of(merge_statuses(platform.status, qe.status), platform, qe)


def _require_not_revoked(verdict: TcbVerdict) -> None:
    """Step 11, its end: no policy can accept `Revoked`."""
    if verdict.status is TcbStatus.REVOKED:
        raise TcbStatusError(
            "TCB status (step 11): the platform's TCB is revoked",
            status=verdict.status.value,
            advisory_ids=verdict.advisory_ids,
        )


def _step_12_binding(quote: Quote, enclave_held_data: bytes) -> None:
    """Step 12: the enclave asked for this quote with the digest of these very data."""
    expected = quote.report.report_data[:_DIGEST_BYTES]
    measured = hashlib.sha256(enclave_held_data).digest()
    if expected != measured:
        raise EnclaveHeldDataError(
            "Enclave held data (step 12): the quote was made for other data",
            expected_hash=expected.hex(),
            measured_hash=measured.hex(),
        )
