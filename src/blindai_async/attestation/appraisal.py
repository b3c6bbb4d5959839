"""The check of verified claims against what the user demands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from blindai_async.attestation.errors import (
    AttestationError,
    DebugNotAllowedError,
    IdentityError,
    QuoteValidationError,
    TcbStatusError,
)

if TYPE_CHECKING:
    from blindai_async.attestation.claims import DcapClaims
    from blindai_async.attestation.policy import Policy

__all__ = ["verify_claims"]

_INIT: Final = 0x1


def verify_claims(claims: DcapClaims, policy: Policy) -> None:
    """Demand that a verified enclave is one that the policy accepts.

    The checks, in order: the claims are proven; TCB status and advisories; MRENCLAVE; MRSIGNER;
    debug mode; the attributes' flags and XFRM, and MISCSELECT; product number and security version.

    Args:
        claims: what `verify_dcap_attestation` returned.
        policy: what the user demands.

    Raises:
        QuoteValidationError: the claims were not proven.
        TcbStatusError: the platform's status, or one of its advisories, is not accepted.
        IdentityError: the enclave's code or its signer is another one.
        DebugNotAllowedError: the enclave runs in debug mode.
        AttestationError: its attributes, product or version are others. Each error carries the
            claims and the policy.
    """
    if not claims.verified:
        raise QuoteValidationError(
            "These claims are not proven: their verification failed", claims=claims, policy=policy
        )
    _check_tcb_status(claims, policy)
    _check_identity(claims, policy)
    if claims.debug and not policy.allow_debug:
        raise DebugNotAllowedError(
            "The enclave runs in debug mode, in which its host can read its memory",
            claims=claims,
            policy=policy,
        )
    _check_configuration(claims, policy)
    _check_product(claims, policy)


def _check_tcb_status(claims: DcapClaims, policy: Policy) -> None:
    unexpected: set[str] = set()
    if policy.allowed_advisories is not None:
        unexpected = set(claims.advisory_ids) - policy.allowed_advisories
    if claims.tcb_status not in policy.accepted_tcb_statuses:
        problem = f"The platform's TCB status is {claims.tcb_status}, which the policy refuses"
    elif unexpected:
        problem = f"The policy does not allow the advisories {', '.join(sorted(unexpected))}"
    else:
        return
    raise TcbStatusError(
        problem,
        status=claims.tcb_status.value,
        advisory_ids=claims.advisory_ids,
        claims=claims,
        policy=policy,
    )


def _check_identity(claims: DcapClaims, policy: Policy) -> None:
    for name, expected, measured in (
        ("MRENCLAVE", policy.mr_enclave, claims.mr_enclave),
        ("MRSIGNER", policy.mr_signer, claims.mr_signer),
    ):
        if expected is not None and expected != measured:
            raise IdentityError(
                f"The enclave's {name} is {measured.hex()}; the policy demands {expected.hex()}",
                expected_hash=expected.hex(),
                measured_hash=measured.hex(),
                claims=claims,
                policy=policy,
            )


def _check_configuration(claims: DcapClaims, policy: Policy) -> None:
    flags = policy.attributes_mask_flags, policy.attributes_flags | _INIT
    xfrm = policy.attributes_mask_xfrm, policy.attributes_xfrm
    misc = policy.misc_mask, policy.misc_select
    for name, measured, (mask, expected) in (
        ("attributes flags", claims.attributes_flags, flags),
        ("attributes XFRM", claims.attributes_xfrm, xfrm),
        ("MISCSELECT", claims.misc_select, misc),
    ):
        if measured & mask != expected:
            raise AttestationError(
                f"The enclave's {name} is {measured:#x}; under the mask {mask:#x} the policy "
                f"demands {expected:#x}",
                claims=claims,
                policy=policy,
            )


def _check_product(claims: DcapClaims, policy: Policy) -> None:
    if policy.isv_prod_id is not None and claims.isv_prod_id != policy.isv_prod_id:
        raise AttestationError(
            f"The enclave is product {claims.isv_prod_id}; the policy demands {policy.isv_prod_id}",
            claims=claims,
            policy=policy,
        )
    if policy.min_isv_svn is not None and claims.isv_svn < policy.min_isv_svn:
        raise AttestationError(
            f"The enclave's security version is {claims.isv_svn}; the policy demands at least "
            f"{policy.min_isv_svn}",
            claims=claims,
            policy=policy,
        )
