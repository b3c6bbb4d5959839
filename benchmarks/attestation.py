"""Verification of SGX evidence, against dcap-qvl on the same evidence.

Four things are timed, one after another in every round, in one process: a whole verification by
dcap-qvl (Rust), a whole verification of ours with nothing remembered, a new quote on collateral
that our cache knows, and evidence that our cache knows as a whole. Medians over all rounds, and
ratios to dcap-qvl's median. The evidence is an emulated platform's, TCB info version 3. Every
contender computes in the calling thread and waits for nothing, so the thread's processor time is
taken: on a busy machine the clock on the wall would measure the neighbours.

Each of our figures includes building `SgxCollateral` from its fields, as a client does for every
reply; dcap-qvl's collateral is built beforehand.
"""

from __future__ import annotations

import base64
import gc
import json
import statistics
import time
import warnings
from typing import TYPE_CHECKING

import dcap_qvl

from benchmarks.measuring import Figure
from blindai_async.attestation import (
    AttestationCache,
    SgxCollateral,
    TrustRoot,
    verify_dcap_attestation,
)
from blindai_async.errors import UntrustedRootWarning
from blindai_async.server.tee.emulated import EmulatedPlatform, Evidence

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 400
WARM_UP_ROUNDS = 20
TARGETS = {"whole verification": 2.0, "new quote, known collateral": 0.5, "known evidence": 0.08}


async def run(rounds: int = ROUNDS) -> list[Figure]:
    """Measure the figures of this file; the spread is that of the middle half of the rounds."""
    times = _measure(rounds)
    reference = statistics.median(times["dcap-qvl"])
    figures = []
    for name, target in TARGETS.items():
        low, median, high = statistics.quantiles(times[name], n=4)
        figures.append(
            Figure(
                f"evidence: {name}",
                "dcap-qvl, a whole verification",
                median / reference,
                low / reference,
                high / reference,
                f"<= {target:g}x",
                median / reference <= target,
                f"{median * 1e6:.0f} against {reference * 1e6:.0f} us of processor time",
            )
        )
    return figures


def _measure(rounds: int) -> dict[str, list[float]]:
    """The seconds that each contender took, round by round."""
    platform = EmulatedPlatform(tcb_info_version=3)
    contenders = _contenders(platform, rounds + WARM_UP_ROUNDS)
    times: dict[str, list[float]] = {name: [] for name in contenders}
    gc.disable()
    try:
        for number in range(rounds + WARM_UP_ROUNDS):
            for name, verify in contenders.items():
                start = time.thread_time()
                verify()
                elapsed = time.thread_time() - start
                if number >= WARM_UP_ROUNDS:
                    times[name].append(elapsed)
    finally:
        gc.enable()
    return times


def _contenders(platform: EmulatedPlatform, rounds: int) -> dict[str, Callable[[], object]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UntrustedRootWarning)
        root = TrustRoot.from_pem(platform.root_pem)
    evidence = platform.evidence()
    theirs = _dcap_qvl_collateral(evidence)
    root_der = _pem_to_der(platform.root_pem.decode())
    now = int(platform.now.timestamp())
    new_quotes = iter([platform.evidence(b"quote %d" % number) for number in range(rounds)])
    # The caches may hold everything: what is measured is not their eviction.
    on_known_collateral = AttestationCache(max_verdicts=rounds + 1)
    on_known_evidence = AttestationCache()
    _verify(on_known_collateral.verify, evidence, root)
    _verify(on_known_evidence.verify, evidence, root)
    return {
        "dcap-qvl": lambda: dcap_qvl.verify_with_root_ca(evidence.quote, theirs, root_der, now),
        "whole verification": lambda: _verify(verify_dcap_attestation, evidence, root),
        "new quote, known collateral": lambda: _verify(
            on_known_collateral.verify, next(new_quotes), root
        ),
        "known evidence": lambda: _verify(on_known_evidence.verify, evidence, root),
    }


def _verify(verify: Callable[..., object], evidence: Evidence, root: TrustRoot) -> object:
    collateral = SgxCollateral(**evidence.collateral)
    return verify(evidence.quote, collateral, evidence.enclave_held_data, trust_root=root)


def _dcap_qvl_collateral(evidence: Evidence) -> dcap_qvl.QuoteCollateralV3:
    fields = evidence.collateral
    tcb_info, tcb_info_signature = _signed_parts(fields["tcb_info"], "tcbInfo")
    identity, identity_signature = _signed_parts(fields["qe_identity"], "enclaveIdentity")
    return dcap_qvl.QuoteCollateralV3(
        pck_crl_issuer_chain=fields["pck_crl_issuer_chain"],
        root_ca_crl=_pem_to_der(fields["root_ca_crl"]),
        pck_crl=_pem_to_der(fields["pck_crl"]),
        tcb_info_issuer_chain=fields["tcb_info_issuer_chain"],
        tcb_info=tcb_info,
        tcb_info_signature=tcb_info_signature,
        qe_identity_issuer_chain=fields["qe_identity_issuer_chain"],
        qe_identity=identity,
        qe_identity_signature=identity_signature,
    )


def _signed_parts(document: str, name: str) -> tuple[str, bytes]:
    inner = document[len(f'{{"{name}":') : document.rindex(',"signature"')]
    return inner, bytes.fromhex(json.loads(document)["signature"])


def _pem_to_der(pem: str) -> bytes:
    return base64.b64decode("".join(line for line in pem.splitlines() if "-----" not in line))
