"""What leads from probing to joined or alone, and back."""

from __future__ import annotations

from itertools import pairwise

import pytest

from blindai_async._batching.independence import RowIndependence, State
from blindai_async._batching.verdict import Verdict
from blindai_async.options import Batching
from blindai_async.tensors import ModelDatumType

SIGNATURE = ((ModelDatumType.F32, (4,)),)
PASSED = Verdict("independent", rows=64)


@pytest.fixture
def kind():
    made = RowIndependence("probe", Batching())
    made.note_answer(SIGNATURE, 0.0)
    return made


@pytest.mark.parametrize(("outcome", "first"), [("dependent", 60.0), ("refused", 1.0)])
def test_what_goes_alone_is_reconsidered_later_each_time(kind, outcome, first):
    now, waited = 0.0, []
    for _ in range(12):
        kind.conclude(Verdict(outcome, "why"), now)
        assert (kind.state, kind.why) == (State.ALONE, "why")
        began = now
        while not kind.wants_observation(now, company=True):
            now += first / 2
        waited.append(now - began)

    assert waited[0] == first
    assert all(later >= min(86_400.0, 4 * earlier) for earlier, later in pairwise(waited))
    assert waited[-1] <= 86_400.0 + first


def test_a_probe_that_found_nothing_is_made_again_later_each_time(kind):
    kind.conclude(Verdict("unknown", "too much alike"), 0.0)

    assert (kind.state, kind.why) == (State.PROBING, "too much alike")
    assert not kind.wants_observation(0.01, company=True)
    assert kind.wants_observation(0.06, company=True)
    kind.conclude(Verdict("unknown", "too much alike"), 0.06)
    assert not kind.wants_observation(0.15, company=True)


def test_an_audit_that_found_nothing_changes_nothing(kind):
    kind.conclude(PASSED, 0.0)
    epoch = kind.epoch

    kind.conclude(Verdict("unknown", "the server was gone"), 0.0)

    assert (kind.joined, kind.epoch) == (True, epoch)


def test_audits_are_frequent_at_first_and_then_one_in_so_many(kind):
    kind.conclude(PASSED, 0.0)

    audits = [number for number in range(1, 10_001) if kind.audit_is_due()]

    assert audits[:4] == [8, 32, 104, 320]
    gaps = [later - earlier for earlier, later in pairwise(audits)]
    assert gaps[-1] == 1000
    assert gaps == sorted(gaps)


def test_another_state_invalidates_what_is_under_way(kind):
    kind.conclude(PASSED, 0.0)
    epoch = kind.epoch

    kind.conclude(Verdict("dependent", "they differ"), 0.0)

    assert kind.epoch > epoch
    assert kind.limit == 1


def test_a_limit_shrinks_by_halves_and_grows_up_to_what_was_proven(kind):
    kind.conclude(PASSED, 0.0)

    kind.shrink(64)
    kind.shrink(32)
    assert kind.limit == 16
    kind.note_batch(10)
    assert kind.limit == 16  # not a full one
    for _ in range(100):
        kind.note_batch(kind.limit)

    assert kind.limit == 64


def test_no_batch_is_larger_than_what_was_proven(kind):
    kind.conclude(Verdict("independent", rows=20), 0.0)
    kind.note_batch(20)

    assert kind.limit == 20


def test_outputs_without_the_inputs_rows_are_not_joined(kind):
    kind.note_answer(None, 0.0)

    assert kind.state is State.ALONE
    assert "rows" in kind.why


def test_what_is_ruled_out_stays_so():
    kind = RowIndependence("never", Batching())
    kind.forget()
    kind.note_answer(SIGNATURE, 1e9)

    assert not kind.wants_observation(1e9, company=True)
    assert kind.state is State.ALONE


def test_without_company_there_is_nothing_to_gain(kind):
    assert not kind.wants_observation(0.0, company=False)
    assert kind.wants_observation(0.0, company=True)
