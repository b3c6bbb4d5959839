"""A memory of verified evidence: verdicts by evidence, collateral by collateral.

Only what passed is kept, and only for as long as every part of it is valid. Policies are none of
the cache's business: they are checked against the claims each time.
"""

from __future__ import annotations

import hashlib
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from blindai_async.attestation.binding import Binding, nonce_digest
from blindai_async.attestation.lru import LeastRecentlyUsed
from blindai_async.attestation.x509.trust_root import INTEL_SGX_ROOT, TrustRoot
from blindai_async.attestation.x509.validity import utc

if TYPE_CHECKING:
    from datetime import datetime

    from blindai_async.attestation.claims import Claims
    from blindai_async.attestation.dcap.report_builder import Progress, VerifiedCollateral
    from blindai_async.attestation.evidence import SgxCollateral
    from blindai_async.attestation.tee import Tee

__all__ = ["SHARED_CACHE", "AttestationCache", "CacheStats"]


class CacheStats(NamedTuple):
    """How a cache has served.

    Attributes:
        verdict_hits: verifications answered from identical evidence.
        verdict_misses: verifications that passed and were kept.
        collateral_hits: verifications that found their collateral verified already.
        collateral_misses: collateral that was verified and kept.
        verdicts: how many verdicts are held.
        collaterals: how many pieces of verified collateral are held.
    """

    verdict_hits: int
    verdict_misses: int
    collateral_hits: int
    collateral_misses: int
    verdicts: int
    collaterals: int


class AttestationCache:
    """Verifies evidence, and remembers what passed.

    Two levels: the verdict of identical evidence, and the verified collateral (certificates,
    revocation lists, TCB info, QE identity), so that another quote from the same platform costs
    only its own two signatures. Both are keyed by SHA-256 digests of everything that they depend
    on, the root of trust included. Safe to share among threads and event loops; verifications of
    the same evidence at the same moment are made once.

    Args:
        max_verdicts: how many verdicts are kept, each of some kilobytes.
        max_collaterals: how many pieces of verified collateral are kept.
    """

    def __init__(self, *, max_verdicts: int = 256, max_collaterals: int = 64) -> None:
        self._verdicts: LeastRecentlyUsed[Claims] = LeastRecentlyUsed(max_verdicts)
        self._collaterals: LeastRecentlyUsed[VerifiedCollateral] = LeastRecentlyUsed(
            max_collaterals
        )

    def verify(
        self,
        quote: bytes,
        collateral: SgxCollateral,
        enclave_held_data: bytes,
        *,
        trust_root: TrustRoot = INTEL_SGX_ROOT,
        at: datetime | None = None,
        binding: Binding | str = Binding.SHA256,
        nonce: bytes = b"",
    ) -> Claims:
        """Verify evidence as `verify_dcap_attestation` does, from memory where that is the same.

        Evidence that fails is verified anew each time and raises what the pure function raises. A
        quote that answers the nonce is never answered from memory, and not kept: its nonce will
        not come again. Its collateral is remembered all the same.
        """
        from blindai_async.attestation.dcap.steps import verify_with  # noqa: PLC0415 - see the package

        moment, binding = utc(at), Binding(binding)
        digest = _collateral_digest(collateral, trust_root)

        def compute() -> Claims:
            return verify_with(
                partial(self._verify_collateral, digest),
                quote,
                collateral,
                enclave_held_data,
                trust_root,
                moment,
                binding,
                nonce,
            )

        # Wherever the report data stand in a quote: one that answers the nonce holds its digest.
        if nonce and nonce_digest(nonce) in quote:
            return compute()
        return self._verdicts.get(
            _digest(digest, quote, enclave_held_data, binding.encode()),
            usable=lambda kept: kept.valid_from <= moment <= kept.valid_until,
            compute=compute,
        )

    def _verify_collateral(
        self,
        digest: bytes,
        tee: Tee,
        collateral: SgxCollateral,
        quoted_chain: str | None,
        trust_root: TrustRoot,
        at: datetime,
        progress: Progress,
    ) -> VerifiedCollateral:
        """Take steps 2 to 6 as `verify_collateral` does, or remember them."""
        from blindai_async.attestation.dcap.collateral_steps import (  # noqa: PLC0415 - see the package
            verify_collateral,
        )

        # The chain within the quote is a part of what these steps look at, and so is its kind.
        quoted = [] if quoted_chain is None else [quoted_chain.encode()]
        return self._collaterals.get(
            _digest(digest, tee.encode(), *quoted),
            usable=lambda kept: kept.valid_from <= at <= kept.valid_until,
            compute=lambda: verify_collateral(
                tee, collateral, quoted_chain, trust_root, at, progress
            ),
        )

    def stats(self) -> CacheStats:
        """Tell how the cache has served until now."""
        return CacheStats(
            verdict_hits=self._verdicts.hits,
            verdict_misses=self._verdicts.misses,
            collateral_hits=self._collaterals.hits,
            collateral_misses=self._collaterals.misses,
            verdicts=len(self._verdicts),
            collaterals=len(self._collaterals),
        )

    def clear(self) -> None:
        """Forget everything, so that the next verification of any evidence is whole."""
        self._verdicts.clear()
        self._collaterals.clear()


def _collateral_digest(collateral: SgxCollateral, trust_root: TrustRoot) -> bytes:
    texts = (
        collateral.pck_crl_issuer_chain,
        collateral.root_ca_crl,
        collateral.pck_crl,
        collateral.tcb_info_issuer_chain,
        collateral.tcb_info,
        collateral.qe_identity_issuer_chain,
        collateral.qe_identity,
        collateral.pck_certificate,
        collateral.pck_signing_chain,
    )
    # With the lengths first, no two lists of texts make the same text.
    joined = "".join((repr([collateral.version, *map(len, texts)]), *texts))
    # Text that is not valid Unicode is refused later; here it need only be told apart.
    return _digest(trust_root.digest, joined.encode("utf-8", "surrogatepass"))


def _digest(*parts: bytes) -> bytes:
    lengths = repr([*map(len, parts)]).encode()
    return hashlib.sha256(b"".join((lengths, *parts))).digest()


SHARED_CACHE: Final = AttestationCache()
"""The cache that connections use unless they are given another one."""
