"""Evidence that nobody of the project made: every field, the edges of its window, and every flip.

Where the evidence comes from, and how to run this on your own: `tests/support/real_evidence.py`.
A sample of the bytes is flipped; ``BLINDAI_ASYNC_ALL_FLIPS=1`` flips every one of them.
"""

from __future__ import annotations

import os
import pickle
import random
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from real_evidence import COMPLETE, EVIDENCE, TDX

from blindai_async.attestation import (
    AttestationCache,
    Claims,
    EvidenceVerifier,
    Outcome,
    Policy,
    SgxClaims,
    SgxEvidence,
    TdxClaims,
    verify_claims,
)
from blindai_async.attestation.dcap.quote import parse_quote
from blindai_async.errors import (
    AttestationError,
    EnclaveHeldDataError,
    NotAnEnclaveError,
    QuoteValidationError,
)

if TYPE_CHECKING:
    from real_evidence import RealEvidence

ALL = os.environ.get("BLINDAI_ASYNC_ALL_FLIPS") == "1"
SAMPLE = 40

pytestmark = pytest.mark.skipif(not EVIDENCE, reason="there is no folder of real evidence")

complete = pytest.mark.parametrize("real", COMPLETE, ids=lambda one: one.name)
tdx = pytest.mark.parametrize("real", TDX, ids=lambda one: one.name)

ADDRESSED: dict[str, Any] = {
    "mr_enclave": lambda claims: claims.mr_enclave.hex(),
    "mr_signer": lambda claims: claims.mr_signer.hex(),
    "isv_prod_id": lambda claims: claims.isv_prod_id,
    "isv_svn": lambda claims: claims.isv_svn,
    "debug": lambda claims: claims.debug,
    "report_data": lambda claims: claims.report_data.hex(),
    "tcb_status": lambda claims: claims.tcb_status.value,
    "advisories": lambda claims: list(claims.advisory_ids),
    "tcb_date": lambda claims: f"{claims.tcb_date:%Y-%m-%d}",
    "tcb_date_min": lambda claims: f"{claims.tcb_date:%Y-%m-%dT%H:%M:%SZ}",
    "valid_from": lambda claims: f"{claims.valid_from:%Y-%m-%dT%H:%M:%SZ}",
    "valid_until": lambda claims: f"{claims.valid_until:%Y-%m-%dT%H:%M:%SZ}",
    "fmspc": lambda claims: claims.fmspc.hex(),
    "tcb_eval": lambda claims: claims.tcb_evaluation_data_number,
    "pck_components": lambda claims: claims.platform.components.hex(),
    "pce_svn": lambda claims: claims.platform.pce_svn,
    "tee_tcb_svn": lambda claims: claims.tee_tcb_svn.hex(),
    "tee_tcb_svn2": lambda claims: claims.tee_tcb_svn2 and claims.tee_tcb_svn2.hex(),
    "mr_seam": lambda claims: claims.mr_seam.hex(),
    "mr_signer_seam_zero": lambda claims: claims.mr_signer_seam == bytes(48),
    "seam_attributes": lambda claims: claims.seam_attributes.hex(),
    "td_attributes": lambda claims: claims.td_attributes.hex(),
    "xfam": lambda claims: claims.xfam.hex(),
    "mr_td": lambda claims: claims.mr_td.hex(),
    "mr_config_id": lambda claims: claims.mr_config_id.hex(),
    "mr_owner": lambda claims: claims.mr_owner.hex(),
    "mr_owner_config": lambda claims: claims.mr_owner_config.hex(),
    "rtmr": lambda claims: [rtmr.hex() for rtmr in claims.rtmrs],
    "mr_service_td": lambda claims: claims.mr_service_td and claims.mr_service_td.hex(),
    "qe_isv_svn": lambda claims: int(claims.steps[7].detail.split()[2].rstrip(":")),
}
"""The fields of expected.json that claims answer, and how."""


@complete
def test_every_known_field_is_as_expected(real: RealEvidence) -> None:
    claims = real.verify()
    assert claims.verified
    assert isinstance(claims, TdxClaims if real.tdx else SgxClaims)
    assert claims.tee == ("tdx" if real.tdx else "sgx")
    known = real.expected.keys() & ADDRESSED.keys()
    assert len(known) > 10
    for field in known:
        assert ADDRESSED[field](claims) == real.expected[field], field


@tdx
def test_launch_and_current_status_are_reported(real: RealEvidence) -> None:
    module, relaunch = (step.parts for step in real.verify().steps[9:11])
    assert [part.name for part in module] == ["TDX module"]
    if real.expected["current_status"] is None:
        assert relaunch == ()
        return
    launched, loaded = real.expected["launch_status"], real.expected["current_status"]
    assert [(part.name, part.detail) for part in relaunch] == [
        ("TDX relaunch", f"launched: {launched}, loaded: {loaded}")
    ]


@complete
def test_it_holds_at_both_edges_of_its_window_and_not_a_second_beyond(real: RealEvidence) -> None:
    start, end = (
        datetime.fromisoformat(real.expected[edge]) for edge in ("valid_from", "valid_until")
    )
    for moment in (start, end):
        assert real.verify(at=moment).tcb_status == real.expected["tcb_status"]
    for moment in (start - timedelta(seconds=1), end + timedelta(seconds=1)):
        with pytest.raises(QuoteValidationError):
            real.verify(at=moment)


@complete
def test_it_is_bound_to_what_it_was_made_for_and_to_nothing_else(real: RealEvidence) -> None:
    assert real.verify(binding="raw64").report_data == real.report_data
    if "enclave_held_data_hex" in real.expected:
        held = bytes.fromhex(real.expected["enclave_held_data_hex"])
        assert real.collateral is not None
        assert real.but().verify().verified
        evidence = SgxEvidence(quote=real.quote, collateral=real.collateral, enclave_held_data=held)
        policy = Policy.for_claims(real.verify())
        assert policy.allow_debug == real.expected["debug"]
        assert EvidenceVerifier(real.trust_root).verify(evidence, policy, at=real.at).verified
    else:
        with pytest.raises(EnclaveHeldDataError) as caught:
            real.verify(binding="sha256")
        assert caught.value.claims is not None
        assert caught.value.claims.steps[10].outcome is Outcome.PASSED


@complete
def test_intels_root_is_demanded_unless_another_one_is_trusted(real: RealEvidence) -> None:
    from blindai_async.attestation import INTEL_SGX_ROOT

    if real.trust_root is INTEL_SGX_ROOT:
        assert real.verify().trust_root == "Intel SGX Root CA"
    else:
        with pytest.raises(NotAnEnclaveError) as caught:
            real.verify(trust_root=INTEL_SGX_ROOT)
        assert caught.value.step == 2


@complete
def test_its_own_policy_accepts_it_and_comes_back_from_its_file(real: RealEvidence) -> None:
    claims = real.verify()
    policy = Policy.for_claims(claims)
    assert Policy.from_str(policy.to_toml()) == policy
    wider = policy.model_copy(update={"accepted_tcb_statuses": {claims.tcb_status}})
    if isinstance(claims, SgxClaims) and not claims.attributes_flags & 1:
        with pytest.raises(AttestationError, match="attributes flags"):
            verify_claims(claims, wider)  # Intel's sample: no enclave runs without INIT
        return
    assert verify_claims(claims, wider) is claims
    for other in COMPLETE:
        if other.name != real.name:
            with pytest.raises(AttestationError):
                verify_claims(other.verify(), wider)


@complete
def test_its_claims_survive_pickling_and_json_and_hide_the_machine(real: RealEvidence) -> None:
    claims = real.verify()
    assert pickle.loads(pickle.dumps(claims)) == claims
    assert type(claims).model_validate_json(claims.model_dump_json()) == claims
    for secret in filter(None, (claims.ppid, claims.platform and claims.platform.instance_id)):
        for text in (repr(claims), str(claims)):
            assert secret.hex() not in text
            assert repr(secret)[2:-1] not in text


@complete
def test_a_cache_says_the_same(real: RealEvidence) -> None:
    cache = AttestationCache()
    for _ in range(2):
        claims = cache.verify(
            real.quote,
            real.collateral,
            real.report_data,
            trust_root=real.trust_root,
            at=real.at,
            binding="raw64",
        )
        assert claims == real.verify()
    assert cache.stats().verdict_hits == 1


def outcome(real: RealEvidence) -> Claims | None:
    """The claims, or None where the evidence is refused; anything else fails the test."""
    try:
        return real.verify()
    except AttestationError:
        return None


def positions(start: int, end: int) -> list[int]:
    if ALL or end - start <= SAMPLE:
        return list(range(start, end))
    return sorted(random.Random(end).sample(range(start, end), SAMPLE))


def flipped(data: bytes, position: int, mask: int) -> bytes:
    changed = bytearray(data)
    changed[position] ^= mask
    return bytes(changed)


@tdx
def test_no_flipped_byte_of_header_body_and_signatures_is_accepted(real: RealEvidence) -> None:
    quote = parse_quote(real.quote)
    signed = len(quote.signed_part)
    # Signature, key, the wrapper's type and length, QE report and its signature: all are covered.
    covered = signed + 4 + 64 + 64 + 6 + 384 + 64
    sections = [(0, 48), (48, signed), (signed, covered)]
    for start, end in sections:
        for position in positions(start, end):
            mask = random.Random(position).choice((0x01, 0x20, 0x80, 0xFF))
            assert outcome(real.but(quote=flipped(real.quote, position, mask))) is None, position


@complete
def test_no_flip_of_quote_or_collateral_says_something_else(real: RealEvidence) -> None:
    true = real.verify()
    assert real.collateral is not None
    for position in positions(0, len(real.quote)):
        claims = outcome(real.but(quote=flipped(real.quote, position, 0x01)))
        assert claims in (None, true), position
    for name in ("tcb_info", "qe_identity", "pck_crl", "root_ca_crl", "tcb_info_issuer_chain"):
        text = getattr(real.collateral, name).encode()
        for position in positions(0, len(text)):
            changed = flipped(text, position, 0x01).decode("latin-1")
            claims = outcome(real.but(**{name: changed}))
            assert claims in (None, true), (name, position)


@tdx
def test_zeros_may_follow_the_quote_and_nothing_else(real: RealEvidence) -> None:
    length = real.expected["quote_bytes"]
    exact = real.quote[:length]
    true = real.verify()
    assert real.but(quote=exact).verify() == true
    assert real.but(quote=exact + bytes(8192)).verify() == true
    for tail in (bytes(8193), b"\1", bytes(100) + b"\1", bytes(100) + b"\1" + bytes(100)):
        assert outcome(real.but(quote=exact + tail)) is None
    for shorter in positions(0, length):
        assert outcome(real.but(quote=exact[:shorter])) is None


@complete
def test_what_belongs_to_the_other_kind_is_refused(real: RealEvidence) -> None:
    for other in COMPLETE:
        if other.tdx == real.tdx:
            continue
        assert other.collateral is not None
        for names, step in (
            (("tcb_info", "tcb_info_issuer_chain"), 5),
            (("qe_identity", "qe_identity_issuer_chain"), 6),
        ):
            taken = {name: getattr(other.collateral, name) for name in names}
            with pytest.raises(QuoteValidationError) as caught:
                real.but(**taken).verify()
            # A document of another time may be refused for its dates, or its signer, first.
            assert caught.value.step in {4, step}


def test_a_quote_that_names_its_platform_by_ppid_parses() -> None:
    for real in EVIDENCE:
        if real.collateral is None:
            quote = parse_quote(real.quote)
            assert quote.pck_chain is None
            assert quote.signatures.certification_type == 3
            assert len(quote.signatures.certification_data) == 404
