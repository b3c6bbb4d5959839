"""Platforms at a fixed moment, and the real proof to compare their form with."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from blindai_async._pb import proof_files_pb2
from blindai_async.server.tee.emulated import EmulatedPlatform

REAL_PROOF = Path(__file__).parents[6] / "shared/fixtures/sgx_hw_predict.proof"


@pytest.fixture(scope="session")
def now():
    return datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


@pytest.fixture(scope="session")
def platform(now):
    """A platform never changes, so that all tests may share it."""
    return EmulatedPlatform(now=now)


@pytest.fixture(scope="session")
def platform_v3(now):
    return EmulatedPlatform(now=now, tcb_info_version=3)


@pytest.fixture(scope="session")
def real_attestation():
    """What a 0.5 server sent from a real SGX machine."""
    if not REAL_PROOF.exists():
        pytest.skip("the proof of a real SGX machine is not beside the repository")
    return proof_files_pb2.ResponseProof.FromString(REAL_PROOF.read_bytes()).attestation
