"""Timeouts: what may be tuned, and what may not be passed."""

from __future__ import annotations

import pickle

import pytest
from pydantic import ValidationError

from blindai_async import Batching, Timeouts


def test_the_defaults_bound_every_call():
    timeouts = Timeouts()
    assert (timeouts.connect, timeouts.call, timeouts.upload) == (15.0, 60.0, 600.0)


@pytest.mark.parametrize("field", ["connect", "call", "upload"])
@pytest.mark.parametrize("bad", [0, -1, None, "soon", float("nan")])
def test_a_deadline_is_a_positive_number(field, bad):
    with pytest.raises(ValidationError):
        Timeouts(**{field: bad})


def test_a_misspelt_part_is_refused():
    with pytest.raises(ValidationError, match="conect"):
        Timeouts(conect=3)


def test_they_are_frozen_equal_by_value_and_picklable():
    timeouts = Timeouts(call=1)
    with pytest.raises(ValidationError):
        timeouts.call = 2
    assert pickle.loads(pickle.dumps(timeouts)) == timeouts == Timeouts(call=1.0)
    assert timeouts.model_copy(update={"upload": 5.0}).call == 1.0


def test_batching_probes_unless_told_otherwise():
    batching = Batching()
    assert (batching.independence, batching.models, batching.probe_values) == (
        "probe",
        {},
        "derived",
    )
    assert batching.audit_every == 1000


@pytest.mark.parametrize(
    "bad",
    [
        {"independence": "always"},
        {"models": {"m": "maybe"}},
        {"rtol": -1},
        {"atol": float("inf")},
        {"probe_values": "random"},
        {"audit_every": 0},
        {"shared": "sr"},
        {"shared": (-1,)},
    ],
)
def test_batching_refuses_what_it_does_not_know(bad):
    with pytest.raises(ValidationError):
        Batching(**bad)


def test_batching_is_picklable_with_its_models_and_shared_inputs():
    batching = Batching(models={"m": "assume"}, shared=("sr", 1))
    assert pickle.loads(pickle.dumps(batching)) == batching
    assert batching.shared == ("sr", 1)
