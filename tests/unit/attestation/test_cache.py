"""The attestation cache: the pure function's answers, sooner."""

from __future__ import annotations

import asyncio
import itertools
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from blindai_async.attestation import (
    INTEL_SGX_ROOT,
    SHARED_CACHE,
    AttestationCache,
    DcapClaims,
    SgxCollateral,
    SgxEvidence,
    TrustRoot,
    verify_dcap_attestation,
)
from blindai_async.attestation.dcap import collateral_steps as steps
from blindai_async.errors import EnclaveHeldDataError, NotAnEnclaveError, QuoteValidationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from blindai_async.server.tee.emulated import EmulatedPlatform

TICK = timedelta(microseconds=1)


class Terms:
    """Evidence and the terms on which it is verified, in a cache or without one."""

    def __init__(self, evidence: SgxEvidence, root: TrustRoot, at: datetime) -> None:
        assert evidence.collateral is not None
        self.arguments: dict[str, Any] = {
            "quote": evidence.quote,
            "collateral": evidence.collateral,
            "enclave_held_data": evidence.enclave_held_data,
            "trust_root": root,
            "at": at,
        }

    def by(self, verify: Callable[..., DcapClaims], **changes: object) -> DcapClaims:
        return verify(**{**self.arguments, **changes})


@pytest.fixture
def terms(evidence: SgxEvidence, root: TrustRoot, now: datetime) -> Terms:
    return Terms(evidence, root, now)


@pytest.fixture
def cache() -> AttestationCache:
    return AttestationCache()


def another(platform: EmulatedPlatform, held_data: bytes) -> dict[str, object]:
    """A new quote of the same platform."""
    return {"quote": platform.quote(held_data), "enclave_held_data": held_data}


def test_identical_evidence_is_verified_once(
    cache: AttestationCache, terms: Terms, claims: DcapClaims
) -> None:
    first = terms.by(cache.verify)
    copied = SgxCollateral.model_validate(terms.arguments["collateral"].model_dump())
    again = terms.by(cache.verify, collateral=copied)
    assert first == again == claims
    assert cache.stats() == (1, 1, 0, 1, 1, 1)


def test_a_new_quote_needs_its_own_signatures_only(
    cache: AttestationCache, terms: Terms, platform: EmulatedPlatform
) -> None:
    terms.by(cache.verify)
    for number in range(3):
        new = another(platform, b"%d" % number)
        assert terms.by(cache.verify, **new) == terms.by(verify_dcap_attestation, **new)
    stats = cache.stats()
    assert (stats.verdict_misses, stats.collateral_misses, stats.collateral_hits) == (4, 1, 3)


def test_known_collateral_does_not_excuse_a_wrong_quote(
    cache: AttestationCache, terms: Terms
) -> None:
    terms.by(cache.verify)
    quote = bytearray(terms.arguments["quote"])
    for offset, step in ((48, 9), (436 + 64, 7), (436 + 600, 7), (0, 1), (len(quote) - 40, 3)):
        damaged = bytearray(quote)
        damaged[offset] ^= 1
        with pytest.raises(QuoteValidationError) as caught:
            terms.by(cache.verify, quote=bytes(damaged))
        with pytest.raises(QuoteValidationError) as pure:
            terms.by(verify_dcap_attestation, quote=bytes(damaged))
        assert caught.value.step == pure.value.step == step
        assert type(caught.value) is type(pure.value)
        assert (str(caught.value), caught.value.claims) == (str(pure.value), pure.value.claims)
    with pytest.raises(EnclaveHeldDataError):
        terms.by(cache.verify, enclave_held_data=b"other")


@pytest.mark.parametrize("name", list(SgxCollateral.model_fields))
def test_every_field_of_the_collateral_is_a_part_of_the_key(
    cache: AttestationCache, terms: Terms, name: str
) -> None:
    terms.by(cache.verify)
    collateral = terms.arguments["collateral"]
    value = getattr(collateral, name)
    changed = collateral.model_copy(update={name: value + 1 if name == "version" else "x"})
    if name == "version":
        terms.by(cache.verify, collateral=changed)
        assert cache.stats().verdicts == 2
    else:
        with pytest.raises(QuoteValidationError):
            terms.by(cache.verify, collateral=changed)


def test_parts_cannot_be_shifted_between_fields(cache: AttestationCache, terms: Terms) -> None:
    terms.by(cache.verify)
    collateral = terms.arguments["collateral"]
    fields = [name for name in SgxCollateral.model_fields if name != "version"]
    for one, other in itertools.pairwise(fields):
        joined = getattr(collateral, one) + getattr(collateral, other)
        shifted = collateral.model_copy(update={one: joined, other: ""})
        with pytest.raises(QuoteValidationError):
            terms.by(cache.verify, collateral=shifted)
    quote, held = terms.arguments["quote"], terms.arguments["enclave_held_data"]
    with pytest.raises(QuoteValidationError):
        terms.by(cache.verify, quote=quote + held, enclave_held_data=b"")


def test_another_root_is_another_verdict(cache: AttestationCache, terms: Terms) -> None:
    terms.by(cache.verify)
    with pytest.raises(NotAnEnclaveError):
        terms.by(cache.verify, trust_root=INTEL_SGX_ROOT)


def test_the_chain_in_the_quote_is_a_part_of_the_collateral(
    cache: AttestationCache, platform: EmulatedPlatform, root: TrustRoot, now: datetime
) -> None:
    without = platform.with_changes({"collateral.pck_certificate": False})
    other = without.with_changes({"pki.pck.sgx_extension.component_svns": (0,) * 16})
    for made, step in ((without, None), (other, 10)):
        evidence = made.evidence()
        collateral = SgxCollateral.model_validate(dict(evidence.collateral))
        arguments = (evidence.quote, collateral, evidence.enclave_held_data)
        if step is None:
            cache.verify(*arguments, trust_root=root, at=now)
            continue
        with pytest.raises(QuoteValidationError) as caught:
            cache.verify(*arguments, trust_root=root, at=now)
        assert caught.value.step == step


def test_a_verdict_counts_only_within_the_window_of_its_evidence(
    cache: AttestationCache, terms: Terms, claims: DcapClaims
) -> None:
    for _ in range(2):
        for inside in (claims.valid_from, claims.valid_until):
            assert terms.by(cache.verify, at=inside) == claims
        for outside in (claims.valid_from - TICK, claims.valid_until + TICK):
            with pytest.raises(NotAnEnclaveError) as caught:
                terms.by(cache.verify, at=outside)
            with pytest.raises(NotAnEnclaveError) as pure:
                terms.by(verify_dcap_attestation, at=outside)
            assert str(caught.value) == str(pure.value)
            assert caught.value.claims == pure.value.claims
    assert cache.stats().verdict_misses == 1


def test_collateral_counts_only_within_its_window(
    cache: AttestationCache, terms: Terms, claims: DcapClaims, platform: EmulatedPlatform
) -> None:
    terms.by(cache.verify)
    for number, outside in enumerate((claims.valid_from - TICK, claims.valid_until + TICK)):
        with pytest.raises(NotAnEnclaveError):
            terms.by(cache.verify, at=outside, **another(platform, b"%d" % number))


def test_failures_are_not_kept(cache: AttestationCache, terms: Terms) -> None:
    for _ in range(3):
        with pytest.raises(EnclaveHeldDataError):
            terms.by(cache.verify, enclave_held_data=b"other")
    assert cache.stats().verdicts == 0
    assert terms.by(cache.verify).verified


def test_each_failing_caller_gets_its_own_error(cache: AttestationCache, terms: Terms) -> None:
    errors = []
    for _ in range(2):
        with pytest.raises(EnclaveHeldDataError) as caught:
            terms.by(cache.verify, enclave_held_data=b"other")
        errors.append(caught.value)
    assert errors[0] is not errors[1]


def test_a_time_without_zone_is_refused(cache: AttestationCache, terms: Terms) -> None:
    terms.by(cache.verify)
    with pytest.raises(ValueError, match="time zone"):
        terms.by(cache.verify, at=terms.arguments["at"].replace(tzinfo=None))


def test_text_that_is_not_unicode_is_refused_as_evidence(
    cache: AttestationCache, terms: Terms
) -> None:
    spoiled = terms.arguments["collateral"].model_copy(update={"tcb_info": "\ud800"})
    with pytest.raises(QuoteValidationError):
        terms.by(cache.verify, collateral=spoiled)


def test_its_size_is_bounded(terms: Terms, platform: EmulatedPlatform) -> None:
    cache = AttestationCache(max_verdicts=2, max_collaterals=1)
    for number in range(4):
        terms.by(cache.verify, **another(platform, b"%d" % number))
    stats = cache.stats()
    assert (stats.verdicts, stats.collaterals) == (2, 1)
    cache.clear()
    assert (cache.stats().verdicts, cache.stats().collaterals) == (0, 0)


@pytest.fixture
def slow_collateral(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Make reading TCB info slow enough for callers to meet, and count how often it is done."""
    readings: list[int] = []
    parse = steps.parse_tcb_info

    def slow(text: str) -> object:
        readings.append(1)
        time.sleep(0.1)
        return parse(text)

    monkeypatch.setattr(steps, "parse_tcb_info", slow)
    return readings


def test_threads_at_the_same_time_verify_once(
    cache: AttestationCache, terms: Terms, claims: DcapClaims, slow_collateral: list[int]
) -> None:
    with ThreadPoolExecutor(16) as pool:
        results = list(pool.map(lambda _: terms.by(cache.verify), range(16)))
    assert results == [claims] * 16
    assert len(slow_collateral) == 1
    assert cache.stats().verdict_misses == 1


async def test_tasks_at_the_same_time_verify_the_collateral_once(
    cache: AttestationCache,
    terms: Terms,
    platform: EmulatedPlatform,
    slow_collateral: list[int],
) -> None:
    async def verify(number: int) -> DcapClaims:
        new = another(platform, b"%d" % number)
        return await asyncio.to_thread(terms.by, cache.verify, **new)

    results = await asyncio.gather(*map(verify, range(8)))
    assert [claims.enclave_held_data for claims in results] == [b"%d" % n for n in range(8)]
    assert all(claims.verified for claims in results)
    assert len(slow_collateral) == 1
    assert cache.stats().collateral_hits == 7


def test_one_cache_is_shared_by_default() -> None:
    assert isinstance(SHARED_CACHE, AttestationCache)
