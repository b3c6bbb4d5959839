"""Verification of evidence, against dcap-qvl on the same evidence.

Four things are timed, one after another in every round, in one process: a whole verification by
dcap-qvl (Rust), a whole verification of ours with nothing of this platform remembered, a new quote
on collateral that our cache knows, and evidence that our cache knows as a whole. Medians over all
rounds, and ratios to dcap-qvl's median. SGX evidence is an emulated platform's, TCB info version 3.
TDX evidence is a real platform's, from the folder that ``BLINDAI_ASYNC_EVIDENCE_DIR`` names (see
`tests/support/real_evidence.py`); without one, TDX is left out. Every contender computes in the
calling thread and waits for nothing, so the thread's processor time is taken: on a busy machine the
clock on the wall would measure the neighbours.

Each of our figures includes building `SgxCollateral` from its fields, as a client does for every
reply; dcap-qvl's collateral is built beforehand. That Intel's root signed its CAs, the TCB signer
and its own revocation list is checked once in a process (as a server's client would); everything
else is checked in every whole verification.
"""

from __future__ import annotations

import base64
import gc
import json
import os
import statistics
import time
import warnings
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import dcap_qvl

from benchmarks.measuring import Figure
from blindai_async.attestation import (
    INTEL_SGX_ROOT,
    AttestationCache,
    SgxCollateral,
    TrustRoot,
    verify_dcap_attestation,
)
from blindai_async.errors import UntrustedRootWarning
from blindai_async.server.tee.emulated import EmulatedPlatform

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ROUNDS = 400
WARM_UP_ROUNDS = 20
WHOLE = {"SGX": 1.6, "TDX": 1.75}
NEW_QUOTE = 0.45
KNOWN = 0.05
REAL_TDX = "tdx_v4_phala"
EVIDENCE_DIR = Path(
    os.environ.get(
        "BLINDAI_ASYNC_EVIDENCE_DIR", Path(__file__).parents[2] / "shared" / "fixtures" / "evidence"
    )
)


class Subject(NamedTuple):
    """Evidence to verify, in the shapes that both verifiers take.

    Attributes:
        quotes: the quotes of one platform, each with what it binds.
        collateral: the fields of `SgxCollateral`.
        root: whom ours trusts.
        root_der: whom theirs trusts; None for Intel.
        at: the time to judge at.
        binding: how the quotes bind.
    """

    quotes: list[tuple[bytes, bytes]]
    collateral: Mapping[str, str | int]
    root: TrustRoot
    root_der: bytes | None
    at: datetime
    binding: str


async def run(rounds: int = ROUNDS) -> list[Figure]:
    """Measure the figures of this file; the spread is that of the middle half of the rounds."""
    subjects = {
        "SGX": _emulated_sgx(rounds + WARM_UP_ROUNDS),
        "TDX": _real_tdx(rounds + WARM_UP_ROUNDS),
    }
    return [
        figure
        for kind, subject in subjects.items()
        if subject is not None
        for figure in _figures(kind, _measure(subject, rounds))
    ]


def _figures(kind: str, times: dict[str, list[float]]) -> list[Figure]:
    reference = statistics.median(times.pop("dcap-qvl"))
    targets = {
        "whole verification": WHOLE[kind],
        "new quote, known collateral": NEW_QUOTE,
        "known evidence": KNOWN,
    }
    figures = []
    for name, seconds in times.items():
        low, median, high = statistics.quantiles(seconds, n=4)
        figures.append(
            Figure(
                f"{kind} evidence: {name}",
                "dcap-qvl, a whole verification",
                median / reference,
                low / reference,
                high / reference,
                f"<= {targets[name]:g}x",
                median / reference <= targets[name],
                f"{median * 1e6:.0f} against {reference * 1e6:.0f} us of processor time",
            )
        )
    return figures


def _measure(subject: Subject, rounds: int) -> dict[str, list[float]]:
    """The seconds that each contender took, round by round."""
    contenders = _contenders(subject)
    times: dict[str, list[float]] = {name: [] for name in contenders}
    gc.disable()
    try:
        for number in range(rounds + WARM_UP_ROUNDS):
            for name, verify in contenders.items():
                start = time.thread_time()
                verify(number)
                elapsed = time.thread_time() - start
                if number >= WARM_UP_ROUNDS:
                    times[name].append(elapsed)
    finally:
        gc.enable()
    return times


def _contenders(subject: Subject) -> dict[str, Callable[[int], object]]:
    quote, held_data = subject.quotes[0]
    theirs = _dcap_qvl_collateral(subject.collateral)
    now = int(subject.at.timestamp())
    # The caches may hold everything: what is measured is not their eviction.
    on_known_collateral = AttestationCache(max_verdicts=len(subject.quotes) + 1)
    on_known_evidence = AttestationCache()

    def verify(by: Callable[..., object], quote: bytes, held_data: bytes) -> None:
        collateral = SgxCollateral.model_validate(dict(subject.collateral))
        by(
            quote,
            collateral,
            held_data,
            trust_root=subject.root,
            at=subject.at,
            binding=subject.binding,
        )

    def by_dcap_qvl(_: int) -> None:
        if subject.root_der is None:
            dcap_qvl.verify(quote, theirs, now)
        else:
            dcap_qvl.verify_with_root_ca(quote, theirs, subject.root_der, now)

    def new_quote(number: int) -> None:
        verify(on_known_collateral.verify, *subject.quotes[number % len(subject.quotes)])

    verify(on_known_collateral.verify, quote, held_data)
    verify(on_known_evidence.verify, quote, held_data)
    return {
        "dcap-qvl": by_dcap_qvl,
        "whole verification": lambda _: verify(verify_dcap_attestation, quote, held_data),
        "new quote, known collateral": new_quote,
        "known evidence": lambda _: verify(on_known_evidence.verify, quote, held_data),
    }


def _emulated_sgx(quotes: int) -> Subject:
    platform = EmulatedPlatform(tcb_info_version=3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UntrustedRootWarning)
        root = TrustRoot.from_pem(platform.root_pem)
    return Subject(
        quotes=[(platform.quote(b"%d" % n), b"%d" % n) for n in range(quotes)],
        collateral=platform.collateral(),
        root=root,
        root_der=_der(platform.root_pem.decode()),
        at=platform.now,
        binding="sha256",
    )


def _real_tdx(quotes: int) -> Subject | None:
    index = EVIDENCE_DIR / "expected.json"
    entries = json.loads(index.read_text()) if index.is_file() else []
    entry = next((one for one in entries if one["name"] == REAL_TDX), None)
    if entry is None:
        return None
    collateral = json.loads((EVIDENCE_DIR / f"{REAL_TDX}.collateral.json").read_text())
    quote = (EVIDENCE_DIR / f"{REAL_TDX}.quote").read_bytes()
    held_data = bytes.fromhex(entry["report_data"])
    # One quote is all there is of a real platform. With other zeros after it, it is another one to
    # a cache, and the same work to verify.
    exact = quote[: entry["quote_bytes"]]
    return Subject(
        quotes=[(exact + bytes(n), held_data) for n in range(quotes)],
        collateral={k: v for k, v in collateral.items() if k in SgxCollateral.model_fields},
        root=INTEL_SGX_ROOT,
        root_der=None,
        at=datetime.fromisoformat(entry["at"]),
        binding="raw64",
    )


def _dcap_qvl_collateral(fields: Mapping[str, str | int]) -> dcap_qvl.QuoteCollateralV3:
    tcb_info, tcb_info_signature = _signed_parts(str(fields["tcb_info"]), "tcbInfo")
    identity, identity_signature = _signed_parts(str(fields["qe_identity"]), "enclaveIdentity")
    return dcap_qvl.QuoteCollateralV3(
        pck_crl_issuer_chain=fields["pck_crl_issuer_chain"],
        root_ca_crl=_der(str(fields["root_ca_crl"])),
        pck_crl=_der(str(fields["pck_crl"])),
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


def _der(text: str) -> bytes:
    if not text.startswith("-----"):
        return bytes.fromhex(text)
    return base64.b64decode("".join(line for line in text.splitlines() if "-----" not in line))
