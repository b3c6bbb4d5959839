"""The verification of DCAP evidence, SGX and TDX: twelve steps, each a short function.

Source: Intel's "SGX ECDSA Quote Library Reference", "TDX DCAP Quoting Library API" and quote
verification library. Steps 2 to 6 stand in `collateral_steps`, 10 and 11 in `tcb_steps`.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final, Protocol

from cryptography.hazmat.primitives.asymmetric import ec

from blindai_async.attestation.binding import Binding, is_fresh
from blindai_async.attestation.dcap.collateral_steps import verify_collateral
from blindai_async.attestation.dcap.quote import Quote, parse_quote
from blindai_async.attestation.dcap.report_builder import Progress, VerifiedCollateral
from blindai_async.attestation.dcap.reports import ReportBody
from blindai_async.attestation.dcap.signed_json import ecdsa_signature
from blindai_async.attestation.dcap.tcb import matching_isv_svn_level
from blindai_async.attestation.dcap.tcb_steps import (
    require_not_revoked,
    step_10_tcb_levels,
    step_11_merge,
)
from blindai_async.attestation.errors import EnclaveHeldDataError, QuoteValidationError
from blindai_async.attestation.parsing import EvidenceError, UnsupportedEvidenceError
from blindai_async.attestation.x509.certificates import verify_signature
from blindai_async.attestation.x509.trust_root import INTEL_SGX_ROOT, TrustRoot
from blindai_async.attestation.x509.validity import utc

if TYPE_CHECKING:
    from datetime import datetime

    from blindai_async.attestation.claims import Claims
    from blindai_async.attestation.dcap.qe_identity import QeIdentity
    from blindai_async.attestation.dcap.tcb import IsvSvnLevel
    from blindai_async.attestation.evidence import SgxCollateral
    from blindai_async.attestation.tee import Tee
    from blindai_async.attestation.x509.certificates import Certificate

__all__ = ["CollateralVerifier", "verify_dcap_attestation", "verify_with"]

_UNUSED_REPORT_DATA: Final = bytes(32)


def verify_dcap_attestation(
    quote: bytes,
    collateral: SgxCollateral,
    enclave_held_data: bytes,
    *,
    trust_root: TrustRoot = INTEL_SGX_ROOT,
    at: datetime | None = None,
    binding: Binding | str = Binding.SHA256,
    nonce: bytes = b"",
) -> Claims:
    """Verify that a genuine enclave or TD made a quote, for these data, on a known platform.

    The kind, SGX or TDX, is the quote's own. The steps, in order:

     1. The quote is whole: of version 3, 4 or 5, by Intel's quoting enclave, nothing more.
     2. The PCK chain ends in the trusted root, which verifies itself.
     3. The PCK chain is sound; the leaf names its platform.
     4. The revocation lists are signed and current; no certificate is on them.
     5. The TCB info is signed, current, and of this platform and kind.
     6. The QE identity is signed by the same signer, current, and of this kind.
     7. The quoting enclave's report is signed by the PCK, and vouches for the attestation key.
     8. That report is of the quoting enclave that the identity describes.
     9. The report of the enclave or TD is signed by the attestation key.
    10. The platform reaches a level of the TCB info; so does the TDX module, which is genuine.
    11. All statuses are merged; the result is not `Revoked`. A TD may be advised to launch anew.
    12. The report data bind the enclave held data.

    It leaves to the caller whether it is the *expected* enclave with a good enough TCB status
    (`verify_claims`), and to speak only over TLS that is pinned to the certificate that
    `enclave_held_data` is: a quote without nonce does not prove that the enclave runs now.

    Args:
        quote: the quote, as it came.
        collateral: Intel's signed statements about the platform.
        enclave_held_data: what the quote was made for: the enclave's TLS certificate, DER.
        trust_root: the root that the certificates must lead back to.
        at: the time to judge at, with a time zone; the present where None. For archived evidence,
            name the time at which you know that it existed; never take it from the evidence.
        binding: how the report data bind the held data; a member of `Binding` or its value.
        nonce: what the quote was asked for with, b"" for nothing. A quote that does not answer it
            is not refused: `Claims.fresh` tells (`Policy.require_fresh` refuses).

    Returns:
        The proven claims, `SgxClaims` or `TdxClaims`, with the outcome of every step.

    Raises:
        NotAnEnclaveError: the certificates do not lead back to the root, or are revoked (2 to 4).
        TcbStatusError: the platform is revoked (step 11).
        EnclaveHeldDataError: the quote was made for other data (step 12).
        QuoteValidationError: any other step failed. All of them carry ``step`` and ``claims``,
            the latter unproven, with what was read until then.
        ValueError: `at` has no time zone, or there is no such `binding`.
    """
    terms = trust_root, utc(at), Binding(binding), nonce
    return verify_with(verify_collateral, quote, collateral, enclave_held_data, *terms)


class CollateralVerifier(Protocol):
    """Takes steps 2 to 6: `verify_collateral`, or a cache in front of it."""

    def __call__(
        self,
        tee: Tee,
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
    binding: Binding,
    nonce: bytes,
) -> Claims:
    """Take all twelve steps, leaving steps 2 to 6 to `collateral_verifier`."""
    progress = Progress(trust_root, enclave_held_data)
    try:
        parsed = _step_1_parse_quote(quote, progress)
        progress.fresh = is_fresh(parsed.report.report_data, nonce)
        verified = collateral_verifier(
            parsed.tee, collateral, parsed.pck_chain, trust_root, at, progress
        )
        progress.adopt(verified)
        _verify_quote(parsed, verified, progress)
        _step_12_binding(parsed, enclave_held_data, binding)
        fresh = ", made for the nonce" if progress.fresh else ""
        progress.passed(f"bound to the enclave held data ({binding}){fresh}")
    except EvidenceError as cause:
        error = progress.failure(cause)
        error.claims = progress.claims(error)
        raise error from cause
    except QuoteValidationError as error:
        error.claims = progress.claims(error)
        raise
    return progress.proven_claims()


def _verify_quote(quote: Quote, verified: VerifiedCollateral, progress: Progress) -> None:
    """Take steps 7 to 11."""
    _step_7_qe_report_signature(quote, verified.pck)
    progress.passed("signed by the platform's PCK")
    qe_level = _step_8_qe_identity(quote, verified.qe_identity)
    progress.passed(f"ISV SVN {quote.signatures.qe_report.isv_svn}: {qe_level.status}")
    _step_9_report_signature(quote)
    progress.passed(_identity(quote))
    levels, parts = step_10_tcb_levels(quote.report, verified)
    progress.passed(f"level of {levels.platform.date.date()}: {levels.platform.status}", parts)
    progress.verdict, parts = step_11_merge(quote.report, verified, levels, qe_level)
    require_not_revoked(progress.verdict)
    progress.passed(progress.verdict.status.value, parts)


def _step_1_parse_quote(quote: bytes, progress: Progress) -> Quote:
    """Step 1: the quote is whole, of a known kind, and nothing follows it."""
    try:
        parsed = parse_quote(quote)
    except UnsupportedEvidenceError as error:
        progress.tee = error.tee
        raise
    progress.tee, progress.report = parsed.tee, parsed.report
    progress.passed(f"{parsed.tee.upper()}, version {parsed.version}, ECDSA P-256")
    return parsed


def _step_7_qe_report_signature(quote: Quote, pck: Certificate) -> None:
    """Step 7: the PCK signed the QE report, which holds the digest of the attestation key."""
    signatures = quote.signatures
    if not verify_signature(
        pck.key, ecdsa_signature(signatures.qe_report_signature), signatures.qe_report.raw
    ):
        raise EvidenceError("the QE report is not signed by the platform's PCK")
    vouched = signatures.attestation_key + signatures.authentication_data
    digest = hashlib.sha256(vouched).digest()
    if signatures.qe_report.report_data != digest + _UNUSED_REPORT_DATA:
        raise EvidenceError("the QE report is for another attestation key")


def _step_8_qe_identity(quote: Quote, identity: QeIdentity) -> IsvSvnLevel:
    """Step 8: the QE report is of the quoting enclave that Intel describes."""
    report = quote.signatures.qe_report
    attributes = int.from_bytes(report.attributes, "little")
    if report.misc_select & identity.misc_select_mask != identity.misc_select:
        raise EvidenceError("the quoting enclave's MISCSELECT is not Intel's")
    if attributes & identity.attributes_mask != identity.attributes:
        raise EvidenceError("the quoting enclave's attributes are not Intel's")
    if report.mr_signer != identity.mr_signer:
        raise EvidenceError("the quoting enclave is not signed by Intel's key")
    if report.isv_prod_id != identity.isv_prod_id:
        raise EvidenceError("the quoting enclave is another product of Intel's")
    level = matching_isv_svn_level(identity.levels, report.isv_svn)
    if level is None:
        raise EvidenceError("the quoting enclave is older than every level of its identity")
    return level


def _step_9_report_signature(quote: Quote) -> None:
    """Step 9: the attestation key signed the header and the report of the enclave or TD."""
    try:
        key = ec.EllipticCurvePublicKey.from_encoded_point(
            ec.SECP256R1(), b"\x04" + quote.signatures.attestation_key
        )
    except ValueError as error:
        raise EvidenceError("the attestation key is not a point on P-256") from error
    if not verify_signature(key, ecdsa_signature(quote.signatures.signature), quote.signed_part):
        raise EvidenceError("the report is not signed by the attestation key")


def _identity(quote: Quote) -> str:
    report = quote.report
    if isinstance(report, ReportBody):
        return f"MRENCLAVE {report.mr_enclave.hex()}"
    return f"MRTD {report.mr_td.hex()}"


def _step_12_binding(quote: Quote, enclave_held_data: bytes, binding: Binding) -> None:
    """Step 12: the enclave or TD asked for this quote with these very data."""
    expected = binding.bound(quote.report.report_data)
    measured = binding.expected(enclave_held_data)
    if expected != measured:
        raise EnclaveHeldDataError(
            "Enclave held data (step 12): the quote was made for other data",
            expected_hash=expected.hex(),
            measured_hash=measured.hex(),
        )
