"""Evidence to judge: a real enclave's, and an emulated platform's with whatever is to be wrong."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from blindai_async._pb import proof_files_pb2
from blindai_async.attestation import (
    INTEL_SGX_ROOT,
    DcapClaims,
    Outcome,
    Policy,
    SgxCollateral,
    TrustRoot,
    verify_dcap_attestation,
)
from blindai_async.errors import QuoteValidationError, UntrustedRootWarning
from blindai_async.server.tee.emulated import EmulatedPlatform

if TYPE_CHECKING:
    from collections.abc import Mapping

FIXTURES = Path(__file__).parents[3] / "shared" / "fixtures"
NOW = datetime(2026, 1, 15, 12, 0, 0, tzinfo=UTC)
HELD_DATA = b"the enclave's certificate"


@dataclass(frozen=True)
class Case:
    """Evidence, and the terms on which it is judged."""

    quote: bytes
    collateral: SgxCollateral
    enclave_held_data: bytes
    trust_root: TrustRoot
    at: datetime

    def verify(self) -> DcapClaims:
        return verify_dcap_attestation(
            self.quote,
            self.collateral,
            self.enclave_held_data,
            trust_root=self.trust_root,
            at=self.at,
        )

    def but(self, **fields: Any) -> Case:
        """The same case with other fields; those of the collateral by their own names."""
        parts = {name: fields.pop(name) for name in list(fields) if not hasattr(self, name)}
        collateral = self.collateral.model_copy(update=parts) if parts else self.collateral
        return replace(self, **{"collateral": collateral, **fields})

    def refusal(self, error: type[QuoteValidationError], step: int) -> QuoteValidationError:
        """Verify, and demand exactly this error at this step, with a report that says so."""
        with pytest.raises(QuoteValidationError) as caught:
            self.verify()
        assert (type(caught.value), caught.value.step) == (error, step), caught.value
        claims = caught.value.claims
        if step == 1:
            assert claims is None
            return caught.value
        assert claims is not None
        assert not claims.verified
        outcomes = [report.outcome for report in claims.steps]
        passed, waiting = [Outcome.PASSED] * (step - 1), [Outcome.NOT_REACHED] * (12 - step)
        assert outcomes == [*passed, Outcome.FAILED, *waiting]
        assert str(caught.value) == claims.steps[step - 1].detail
        return caught.value


class Platforms:
    """Emulated platforms, and cases made of them; every case trusts the sound platform's root."""

    def __init__(self) -> None:
        self.sound = {
            version: EmulatedPlatform(now=NOW, tcb_info_version=version) for version in (2, 3)
        }
        self.roots = {version: self._root(platform) for version, platform in self.sound.items()}

    @staticmethod
    def _root(platform: EmulatedPlatform) -> TrustRoot:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UntrustedRootWarning)
            return TrustRoot.from_pem(platform.root_pem)

    def case(self, changes: Mapping[str, object] | None = None, *, version: int = 3) -> Case:
        platform = self.sound[version]
        evidence = (platform.with_changes(changes) if changes else platform).evidence(HELD_DATA)
        return Case(
            evidence.quote,
            SgxCollateral.model_validate(dict(evidence.collateral)),
            evidence.enclave_held_data,
            self.roots[version],
            NOW,
        )


@pytest.fixture(scope="session")
def platforms() -> Platforms:
    """Emulated platforms of both versions of TCB info."""
    return Platforms()


@pytest.fixture(params=[2, 3], ids=["TCB info 2", "TCB info 3"])
def sound(platforms: Platforms, request: pytest.FixtureRequest) -> Case:
    """Evidence with nothing wrong."""
    return platforms.case(version=request.param)


@pytest.fixture(scope="session")
def real() -> Case:
    """The evidence of a real enclave, judged on the day after it was made."""
    path = FIXTURES / "sgx_hw_predict.proof"
    if not path.is_file():
        pytest.skip("the fixtures of a real enclave are not here")
    evidence = proof_files_pb2.ResponseProof.FromString(path.read_bytes()).attestation
    names = [field.name for field in evidence.collateral.DESCRIPTOR.fields]
    return Case(
        evidence.quote,
        SgxCollateral(**{name: getattr(evidence.collateral, name) for name in names}),
        evidence.enclave_held_data,
        INTEL_SGX_ROOT,
        datetime(2022, 8, 24, tzinfo=UTC),
    )


@pytest.fixture(scope="session")
def real_policy() -> Policy:
    """The policy of the real enclave."""
    path = FIXTURES / "sgx_hw_policy.toml"
    if not path.is_file():
        pytest.skip("the fixtures of a real enclave are not here")
    return Policy.from_file(path)
