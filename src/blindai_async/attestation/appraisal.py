"""The appraisal of verified claims against what the user demands."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

from blindai_async.attestation.claims import Claims, PolicyMatch, SgxClaims, TdxClaims
from blindai_async.attestation.errors import (
    AttestationError,
    DebugNotAllowedError,
    IdentityError,
    QuoteValidationError,
    TcbStatusError,
)
from blindai_async.attestation.sgx_policy import SgxPolicy
from blindai_async.attestation.tcb_status import TcbStatus
from blindai_async.attestation.tdx_policy import MIGRATABLE, SEPT_VE_DISABLE, TdxPolicy
from blindai_async.attestation.x509.validity import utc

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from blindai_async.attestation.policy import Policy, PolicyEntry

__all__ = ["verify_claims"]

AnyClaims = TypeVar("AnyClaims", bound=Claims)

_Measurements: TypeAlias = "Iterator[tuple[str, bytes, tuple[bytes, ...]]]"
"""The name of a measurement, what was measured, and what may be."""
_Bits: TypeAlias = "Iterator[tuple[str, int, int, int]]"
"""The name of some bits, what they are, what they have to be, and which of them count."""

_INIT: Final = 0x1
_KINDS: Final = {"sgx": "an SGX enclave", "tdx": "a TDX trust domain"}


def verify_claims(claims: AnyClaims, policy: Policy, *, at: datetime | None = None) -> AnyClaims:
    """Demand that a verified enclave or TD is one that the policy accepts.

    The checks, in order: the claims are proven, and of the policy's kind; TCB status, advisories;
    Intel's evaluation, the machine, freshness; the measurements; debug mode; then of SGX the
    attributes' flags and XFRM, MISCSELECT, product number and security version; of TDX the
    attributes and XFAM, SEPT_VE_DISABLE, MIGRATABLE, and the service TD. Of a policy of several
    entries the first one that accepts counts.

    Args:
        claims: what `verify_dcap_attestation` returned.
        policy: what the user demands.
        at: the time to count `PolicyEntry.tcb_grace_days` at, with a time zone; the present where
            None.

    Returns:
        The claims; of a policy of several entries with `Claims.matched` set.

    Raises:
        QuoteValidationError: the claims were not proven.
        TcbStatusError: the platform's status, or one of its advisories, is not accepted.
        IdentityError: a measurement is another one.
        DebugNotAllowedError: the enclave runs in debug mode.
        AttestationError: anything else differs. Each error carries the claims and the policy.
    """
    if not claims.verified:
        raise QuoteValidationError(
            "These claims are not proven: their verification failed", claims=claims, policy=policy
        )
    refusals = []
    for index, entry in enumerate(policy.entries):
        try:
            _appraise(claims, entry, at)
        except AttestationError as refusal:
            refusals.append(refusal)
        else:
            if policy is entry:
                return claims
            return claims.model_copy(update={"matched": PolicyMatch(index, entry.name or "")})
    raise _refusal(refusals, policy, claims)


def _refusal(refusals: list[AttestationError], policy: Policy, claims: Claims) -> AttestationError:
    """Choose the refusal to raise: of the entry that comes closest, with the words of all."""
    if policy.entries == (policy,):
        return refusals[0]

    def distance(index: int) -> tuple[bool, bool]:
        # An entry of another kind, or of other code, was not meant for this enclave.
        other_kind = policy.entries[index].tee != claims.tee
        return other_kind, isinstance(refusals[index], IdentityError)

    chosen = refusals[min(range(len(refusals)), key=distance)]
    reasons = "; ".join(f"entry {index}: {one}" for index, one in enumerate(refusals))
    chosen.args = (f"No entry of the policy accepts it ({reasons})",)
    chosen.policy = policy
    return chosen


def _appraise(claims: Claims, policy: PolicyEntry, at: datetime | None) -> None:
    if isinstance(claims, SgxClaims) and isinstance(policy, SgxPolicy):
        _check_platform(claims, policy, at)
        _check_measurements(claims, policy, _sgx_measurements(claims, policy))
        _check_debug(claims, policy)
        _check_bits(claims, policy, _sgx_bits(claims, policy))
        _check_product(claims, policy)
    elif isinstance(claims, TdxClaims) and isinstance(policy, TdxPolicy):
        _check_platform(claims, policy, at)
        _check_measurements(claims, policy, _tdx_measurements(claims, policy))
        _check_debug(claims, policy)
        _check_bits(claims, policy, _tdx_bits(claims, policy))
        _check_trust_domain(claims, policy)
    else:
        raise AttestationError(
            f"The evidence is of {_KINDS[claims.tee]}; the policy accepts {_KINDS[policy.tee]}",
            claims=claims,
            policy=policy,
        )


def _check_platform(claims: Claims, policy: PolicyEntry, at: datetime | None) -> None:
    _check_tcb(claims, policy, at)
    number, least = claims.tcb_evaluation_data_number, policy.min_tcb_evaluation_data_number
    problem = None
    if least is not None and number < least:
        problem = (
            f"The collateral is of Intel's evaluation {number}; the policy demands {least} or later"
        )
    elif policy.allowed_ppids is not None and claims.ppid not in policy.allowed_ppids:
        # The PPID itself stands in no error text: it identifies a machine.
        problem = "The machine is none of those whose PPIDs the policy allows"
    elif policy.require_fresh and not claims.fresh:
        problem = (
            "The server gave no fresh quote: it does not answer the nonce that was sent, and may "
            "be a recording. Servers before nonces existed cannot give one (require_fresh)"
        )
    if problem is not None:
        raise AttestationError(problem, claims=claims, policy=policy)


def _check_tcb(claims: Claims, policy: PolicyEntry, at: datetime | None) -> None:
    unexpected: set[str] = set()
    if policy.allowed_advisories is not None:
        unexpected = set(claims.advisory_ids) - policy.allowed_advisories
    denied = policy.denied_advisories.intersection(claims.advisory_ids)
    if claims.tcb_status not in policy.accepted_tcb_statuses and not _within_grace(
        claims, policy, at
    ):
        problem = f"The platform's TCB status is {claims.tcb_status}, which the policy refuses"
    elif unexpected:
        problem = f"The policy does not allow the advisories {', '.join(sorted(unexpected))}"
    elif denied:
        problem = f"The policy denies the advisories {', '.join(sorted(denied))}"
    else:
        return
    raise TcbStatusError(
        problem,
        status=claims.tcb_status.value,
        advisory_ids=claims.advisory_ids,
        claims=claims,
        policy=policy,
    )


def _within_grace(claims: Claims, policy: PolicyEntry, at: datetime | None) -> bool:
    if claims.tcb_status is not TcbStatus.OUT_OF_DATE or not policy.tcb_grace_days:
        return False
    return utc(at) - claims.tcb_date <= timedelta(days=policy.tcb_grace_days)


def _sgx_measurements(claims: SgxClaims, policy: SgxPolicy) -> _Measurements:
    yield "MRENCLAVE", claims.mr_enclave, (policy.mr_enclave,)
    if policy.mr_signer is not None:
        yield "MRSIGNER", claims.mr_signer, (policy.mr_signer,)


def _tdx_measurements(claims: TdxClaims, policy: TdxPolicy) -> _Measurements:
    for name, expected in policy.expected_measurements().items():
        rtmr = name.removeprefix("rtmr")
        measured = claims.rtmrs[int(rtmr)] if rtmr != name else getattr(claims, name)
        yield name.replace("_", "").upper(), measured, expected


def _check_measurements(claims: Claims, policy: PolicyEntry, rows: _Measurements) -> None:
    for name, measured, expected in rows:
        if measured not in expected:
            demanded = " or ".join(value.hex() for value in expected)
            raise IdentityError(
                f"The {name} is {measured.hex()}; the policy demands {demanded}",
                expected_hash=", ".join(value.hex() for value in expected),
                measured_hash=measured.hex(),
                claims=claims,
                policy=policy,
            )


def _check_debug(claims: Claims, policy: PolicyEntry) -> None:
    if claims.debug and not policy.allow_debug:
        raise DebugNotAllowedError(
            f"It is {_KINDS[claims.tee]} in debug mode, in which its host can read its memory",
            claims=claims,
            policy=policy,
        )


def _sgx_bits(claims: SgxClaims, policy: SgxPolicy) -> _Bits:
    flags = policy.attributes_flags | _INIT
    mask = policy.attributes_mask_flags
    yield "attributes flags", claims.attributes_flags, flags, mask
    mask = policy.attributes_mask_xfrm
    yield "attributes XFRM", claims.attributes_xfrm, policy.attributes_xfrm, mask
    yield "MISCSELECT", claims.misc_select, policy.misc_select, policy.misc_mask


def _tdx_bits(claims: TdxClaims, policy: TdxPolicy) -> _Bits:
    for name, (expected, mask) in policy.expected_bits().items():
        yield name, int.from_bytes(getattr(claims, name), "little"), expected, mask


def _check_bits(claims: Claims, policy: PolicyEntry, rows: _Bits) -> None:
    for name, measured, expected, mask in rows:
        if measured & mask != expected:
            raise AttestationError(
                f"{name}: measured {measured:#x}; under the mask {mask:#x} the policy demands "
                f"{expected:#x}",
                claims=claims,
                policy=policy,
            )


def _check_product(claims: SgxClaims, policy: SgxPolicy) -> None:
    problem = None
    if policy.isv_prod_id is not None and claims.isv_prod_id != policy.isv_prod_id:
        problem = f"is product {claims.isv_prod_id}; the policy demands {policy.isv_prod_id}"
    elif policy.min_isv_svn is not None and claims.isv_svn < policy.min_isv_svn:
        problem = (
            f"has security version {claims.isv_svn}; the policy demands at least "
            f"{policy.min_isv_svn}"
        )
    if problem is not None:
        raise AttestationError(f"The enclave {problem}", claims=claims, policy=policy)


def _check_trust_domain(claims: TdxClaims, policy: TdxPolicy) -> None:
    attributes = int.from_bytes(claims.td_attributes, "little")
    problem = None
    if policy.require_sept_ve_disable and not attributes & SEPT_VE_DISABLE:
        problem = "lets its host inject exceptions (SEPT_VE_DISABLE is clear)"
    elif attributes & MIGRATABLE and not policy.allow_migratable:
        problem = "may be moved to another platform (MIGRATABLE is set)"
    elif any(claims.mr_service_td or b"") and not policy.allow_service_td:
        problem = "is bound to a service TD"
    if problem is not None:
        raise AttestationError(
            f"The trust domain {problem}, which the policy refuses", claims=claims, policy=policy
        )
