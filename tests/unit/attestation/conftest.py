"""A sound emulated platform, and the pieces of its evidence as the parsers meet them."""

from __future__ import annotations

import warnings
from datetime import UTC, datetime

import pytest

from blindai_async.attestation import (
    DcapClaims,
    SgxCollateral,
    SgxEvidence,
    TrustRoot,
    verify_dcap_attestation,
)
from blindai_async.errors import UntrustedRootWarning
from blindai_async.server.tee.emulated import EmulatedPlatform

NOW = datetime(2026, 1, 15, 12, 0, 0, tzinfo=UTC)


@pytest.fixture(scope="session")
def platform() -> EmulatedPlatform:
    """An emulated platform that is valid around `NOW`, with TCB info of version 3."""
    return EmulatedPlatform(now=NOW, tcb_info_version=3)


@pytest.fixture(scope="session")
def root(platform: EmulatedPlatform) -> TrustRoot:
    """The platform's root, trusted."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UntrustedRootWarning)
        return TrustRoot.from_pem(platform.root_pem)


@pytest.fixture(scope="session")
def now() -> datetime:
    """A time at which the platform's evidence is valid."""
    return NOW


@pytest.fixture(scope="session")
def evidence(platform: EmulatedPlatform) -> SgxEvidence:
    """Sound evidence of the platform."""
    made = platform.evidence(b"held data")
    return SgxEvidence(
        quote=made.quote,
        collateral=SgxCollateral.model_validate(dict(made.collateral)),
        enclave_held_data=made.enclave_held_data,
    )


@pytest.fixture(scope="session")
def collateral(evidence: SgxEvidence) -> SgxCollateral:
    """The collateral of `evidence`."""
    assert evidence.collateral is not None
    return evidence.collateral


@pytest.fixture(scope="session")
def claims(evidence: SgxEvidence, collateral: SgxCollateral, root: TrustRoot) -> DcapClaims:
    """What the evidence proves."""
    return verify_dcap_attestation(
        evidence.quote, collateral, evidence.enclave_held_data, trust_root=root, at=NOW
    )
