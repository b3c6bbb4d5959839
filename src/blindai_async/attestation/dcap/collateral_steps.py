"""Steps 2 to 6 of the verification: certificates, revocation lists, TCB info and QE identity.

They depend on the collateral, the root of trust and the time, not on the enclave: another quote
from the same platform need not repeat them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from blindai_async.attestation.dcap.pck import PckExtension, parse_pck_extension
from blindai_async.attestation.dcap.qe_identity import QeIdentity, parse_qe_identity
from blindai_async.attestation.dcap.report_builder import Progress, VerifiedCollateral
from blindai_async.attestation.dcap.tcb_info import TcbInfo, parse_tcb_info
from blindai_async.attestation.errors import QuoteValidationError
from blindai_async.attestation.parsing import EvidenceError
from blindai_async.attestation.x509.certificates import (
    Certificate,
    parse_certificate,
    parse_issuer,
    split_chain,
    split_issuers,
    verify_signature,
)
from blindai_async.attestation.x509.chains import (
    PCK,
    PCK_CAS,
    PLATFORM_CA,
    TCB_SIGNER,
    ChainVerifier,
    in_order,
    read_issuers,
)
from blindai_async.attestation.x509.crl import RevocationList, parse_crl
from blindai_async.attestation.x509.validity import Validity

if TYPE_CHECKING:
    from datetime import datetime

    from blindai_async.attestation.evidence import SgxCollateral
    from blindai_async.attestation.tee import Tee
    from blindai_async.attestation.x509.trust_root import TrustRoot

__all__ = ["verify_collateral"]


def verify_collateral(
    tee: Tee,
    collateral: SgxCollateral,
    quoted_chain: str | None,
    trust_root: TrustRoot,
    at: datetime,
    progress: Progress,
) -> VerifiedCollateral:
    """Take steps 2 to 6.

    Args:
        tee: the kind that the quote is of: each has TCB info and a QE identity of its own.
        collateral: what came with the quote.
        quoted_chain: the PCK chain that the quote itself carries.
        trust_root: whom the user trusts.
        at: the time to judge at, aware.
        progress: gets what each step found.

    Raises:
        EvidenceError: the step after those that `progress` knows to have passed has failed.
        QuoteValidationError: a TCB signer is revoked, which belongs to step 4.
    """
    validity = Validity(at)
    chains = ChainVerifier(trust_root, validity)
    chain = _step_2_root(collateral, quoted_chain, chains)
    progress.passed(trust_root.name)
    pck, ca, root, platform = _step_3_pck_chain(chain, collateral, quoted_chain, chains)
    progress.platform = platform
    progress.passed(f"FMSPC {platform.fmspc.hex()}, certified by {ca.name}")
    root_crl = _step_4_revocation(collateral, pck, ca, root, chains)
    progress.passed("the platform is not revoked")
    signer, tcb_info = _step_5_tcb_info(tee, collateral, root_crl, platform, chains, validity)
    progress.passed(
        f"version {tcb_info.version}, issued {tcb_info.issue_date.date()}, "
        f"evaluation {tcb_info.evaluation_number}"
    )
    identity = _step_6_qe_identity(tee, collateral, root_crl, signer, chains, validity)
    progress.passed(f"issued {identity.issue_date.date()}, evaluation {identity.evaluation_number}")
    return VerifiedCollateral(
        pck=pck,
        platform=platform,
        tcb_info=tcb_info,
        qe_identity=identity,
        valid_from=validity.valid_from,
        valid_until=validity.valid_until,
        reports=tuple(progress.reports[1:]),
    )


def _step_2_root(
    collateral: SgxCollateral, quoted_chain: str | None, chains: ChainVerifier
) -> list[bytes]:
    """Step 2: the PCK chain ends in the trusted root, which verifies itself."""
    certificate, signing_chain = collateral.pck_certificate, collateral.pck_signing_chain
    if bool(certificate) != bool(signing_chain):
        raise EvidenceError("the collateral has only a part of the PCK chain")
    if certificate:
        chain = [*split_chain(certificate), *split_issuers(signing_chain)]
    elif quoted_chain is not None:
        chain = split_chain(quoted_chain)
    else:
        raise EvidenceError("there is no PCK chain, neither in the collateral nor in the quote")
    return _verified_root_last(chain, chains)


def _verified_root_last(chain: list[bytes], chains: ChainVerifier) -> list[bytes]:
    last = parse_issuer(chain[-1])
    if last.is_self_issued or len(chain) == 1:
        chains.verify_root(last)
        return chain
    roots = [data for data in chain[:-1] if parse_issuer(data).is_self_issued]
    if len(roots) != 1:
        raise EvidenceError(f"there are {len(roots)} roots in the chain")
    chains.verify_root(parse_issuer(roots[0]))
    return [data for data in chain if data != roots[0]] + roots


def _step_3_pck_chain(
    chain: list[bytes],
    collateral: SgxCollateral,
    quoted_chain: str | None,
    chains: ChainVerifier,
) -> tuple[Certificate, Certificate, Certificate, PckExtension]:
    """Step 3: leaf, platform or processor CA and root are sound; the leaf names its platform."""
    # Two chains that differ would leave it to each reader which platform the quote is from.
    if (
        quoted_chain is not None
        and collateral.pck_certificate
        and not _is_pem_of(quoted_chain, chain, collateral)
    ):
        raise EvidenceError("the quote and the collateral have different PCK chains")
    leaf, *issuers = chain
    certificates = in_order([parse_certificate(leaf), *map(parse_issuer, issuers)])
    chains.verify_chain(certificates, {PCK}, PCK_CAS)
    pck, ca, root = certificates
    if pck.sgx_extension is None:
        raise EvidenceError("the PCK certificate has no SGX extension")
    extension = parse_pck_extension(pck.sgx_extension, of_platform_ca=ca.name == PLATFORM_CA)
    return pck, ca, root, extension


def _is_pem_of(pem: str, chain: list[bytes], collateral: SgxCollateral) -> bool:
    # Usually it is the text that was read already, but for line ends; else it is worth reading.
    known = collateral.pck_certificate + collateral.pck_signing_chain
    if pem.replace("\n", "") == known.replace("\n", ""):
        return True
    return sorted(split_chain(pem)) == sorted(chain)


def _step_4_revocation(
    collateral: SgxCollateral,
    pck: Certificate,
    ca: Certificate,
    root: Certificate,
    chains: ChainVerifier,
) -> RevocationList:
    """Step 4: both revocation lists are signed and current, and name neither PCK nor CA.

    The root's list is returned for the TCB signers: see `_read_signer`.
    """
    issuer_chain = read_issuers(collateral.pck_crl_issuer_chain)
    chains.verify_chain(issuer_chain, PCK_CAS, leaf_is_ca=True)
    issuer = issuer_chain[0]
    if issuer.subject != ca.subject or issuer.point != ca.point:
        raise EvidenceError("the PCK revocation list is of another CA than the PCK certificate")
    root_crl = parse_crl(collateral.root_ca_crl)
    chains.verify_crl(root_crl, root)
    pck_crl = parse_crl(collateral.pck_crl)
    chains.verify_crl(pck_crl, ca)
    if pck_crl.revokes(pck):
        raise EvidenceError("the platform's PCK certificate is revoked")
    for certificate in (ca, issuer, root):
        if root_crl.revokes(certificate):
            raise EvidenceError(f"{certificate.name!a} is revoked")
    return root_crl


def _step_5_tcb_info(
    tee: Tee,
    collateral: SgxCollateral,
    root_crl: RevocationList,
    platform: PckExtension,
    chains: ChainVerifier,
    validity: Validity,
) -> tuple[Certificate, TcbInfo]:
    """Step 5: the TCB info is signed, current, and of this platform."""
    signer = _read_signer(collateral.tcb_info_issuer_chain, root_crl, chains)
    tcb_info = parse_tcb_info(collateral.tcb_info, tee)
    if not verify_signature(signer.key, tcb_info.source.signature, tcb_info.source.signed_part):
        raise EvidenceError("the TCB info is not signed by its signer")
    validity.require("the TCB info", tcb_info.issue_date, tcb_info.next_update)
    if tcb_info.fmspc != platform.fmspc:
        raise EvidenceError("the TCB info is of another FMSPC than the PCK certificate")
    if tcb_info.pce_id != platform.pce_id:
        raise EvidenceError("the TCB info is of another PCE-ID than the PCK certificate")
    return signer, tcb_info


def _step_6_qe_identity(
    tee: Tee,
    collateral: SgxCollateral,
    root_crl: RevocationList,
    tcb_signer: Certificate,
    chains: ChainVerifier,
    validity: Validity,
) -> QeIdentity:
    """Step 6: the QE identity is signed by the same signer, and current. It is never optional."""
    signer = _read_signer(collateral.qe_identity_issuer_chain, root_crl, chains)
    if signer.point != tcb_signer.point:
        raise EvidenceError("the QE identity's signer is not the TCB info's")
    identity = parse_qe_identity(collateral.qe_identity, tee)
    if not verify_signature(signer.key, identity.source.signature, identity.source.signed_part):
        raise EvidenceError("the QE identity is not signed by its signer")
    validity.require("the QE identity", identity.issue_date, identity.next_update)
    return identity


def _read_signer(pem: str, root_crl: RevocationList, chains: ChainVerifier) -> Certificate:
    """Read and verify a TCB signing chain; its signer's revocation belongs to step 4."""
    chain = read_issuers(pem)
    chains.verify_chain(chain, {TCB_SIGNER})
    if root_crl.revokes(chain[0]):
        raise QuoteValidationError(f"Revocation lists (step 4): {TCB_SIGNER!a} is revoked", step=4)
    return chain[0]
