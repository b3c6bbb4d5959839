"""The evidence's own models: frozen, exact, and nothing converted."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

import pytest
from pydantic import ValidationError

from blindai_async.attestation import SgxCollateral, SgxEvidence

if TYPE_CHECKING:
    from collections.abc import Mapping


def test_evidence_is_a_value(evidence: SgxEvidence) -> None:
    assert pickle.loads(pickle.dumps(evidence)) == evidence
    assert hash(evidence) == hash(pickle.loads(pickle.dumps(evidence)))
    assert SgxEvidence.model_validate_json(evidence.model_dump_json()) == evidence
    with pytest.raises(ValidationError):
        evidence.quote = b""  # type: ignore[misc]  # what must not work


def test_absent_collateral_is_not_empty_collateral() -> None:
    absent = SgxEvidence(quote=b"q", collateral=None, enclave_held_data=b"")
    assert absent.collateral is None


@pytest.mark.parametrize(
    "change",
    [{"tcb_info": b"{}"}, {"tcb_info": None}, {"version": "3"}, {"more": ""}],
    ids=["bytes", "nothing", "text for a number", "an unknown field"],
)
def test_nothing_is_converted(collateral: SgxCollateral, change: Mapping[str, object]) -> None:
    with pytest.raises(ValidationError):
        SgxCollateral.model_validate({**collateral.model_dump(), **change})
