"""What is known of one kind of calls: whether its rows may share a request, and how many."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from blindai_async._batching.compatibility import OutputSignature
    from blindai_async._batching.probe_inputs import Block
    from blindai_async._batching.verdict import Verdict
    from blindai_async.options import Batching, Independence

_OBSERVATIONS = 8  # of them the first probes are made
_AUDIT_AFTER = 8  # batches, the first time; then after thrice as many each time
# Seconds until a kind whose calls go alone is probed anew: the first time, and at most.
_RECONSIDER = {"dependent": 60.0, "refused": 1.0}
_RECONSIDER_AT_MOST = 86_400.0
_MOST_ALONE = 64  # calls of a kind under way, before it is known whether it can be joined
_RETRY_AFTER = 0.05  # seconds, where a probe found out nothing; doubled each time
_RETRY_AFTER_AT_MOST = 60.0


class State(StrEnum):
    """How the calls of a kind are sent."""

    PROBING = "probing"
    JOINED = "joined"
    ALONE = "alone"


class RowIndependence:
    """The state of one kind, and what leads from one state to the next.

    Args:
        mode: how the user wants it to be known.
        options: sizes, and how often to audit.

    Attributes:
        state: how calls are sent now.
        joined: whether rows of several callers may share a request, as the state says.
        why: why not joined, in words.
        signature: of a row of the outputs, once a call was answered.
        limit: rows that a batch may have now.
        epoch: counts the changes after which an answer to a batch sent before is not to be used.
        observed: callers' rows with the answers that they got alone.
        most_alone: calls that may go alone at once, before it is known whether they have to.
        observing: calls under way whose rows are to be observed.
        probing: a probe is under way.
        probes: how many have been made.
        difference: the largest that one has found.
    """

    __slots__ = (
        "_audit_every",
        "_audit_gap",
        "_largest",
        "_mode",
        "_not_before",
        "_pause",
        "_proven",
        "_retry_after",
        "_seen",
        "_until_audit",
        "difference",
        "epoch",
        "joined",
        "limit",
        "most_alone",
        "observed",
        "observing",
        "probes",
        "probing",
        "signature",
        "state",
        "why",
    )

    def __init__(self, mode: Independence, options: Batching) -> None:
        self._mode = mode
        self._audit_every = options.audit_every
        self._largest = options.max_batch_size
        self.most_alone = options.max_in_flight if mode == "assume" else _MOST_ALONE
        self.epoch = self.probes = 0
        self.difference = 0.0
        self._pause = 0.0
        self.probing = False
        self._begin("no two calls have come at the same time so far")
        if mode == "never":
            self.rule_out('its independence is "never"')

    def rule_out(self, why: str) -> None:
        """Join no calls, whatever the model does."""
        self.state, self.why = State.ALONE, why
        self._not_before = float("inf")

    def _begin(self, why: str) -> None:
        self.state = State.PROBING
        self.joined = False
        self.why = why
        self.signature: OutputSignature | None = None
        self.limit = self._proven = 1
        self.observed: list[Block] = []
        self.observing = self._seen = 0
        self._not_before = 0.0
        self._retry_after = _RETRY_AFTER
        self._audit_gap = self._until_audit = min(_AUDIT_AFTER, self._audit_every)

    def restart(self, why: str) -> None:
        """Drop what was learned: the model seems to be another one."""
        self.epoch += 1
        self._begin(why)

    def forget(self) -> None:
        """Drop all that was learned: the model is another one."""
        if self._not_before == float("inf"):
            return
        self._pause = 0.0
        self.difference = 0.0
        self.restart("the model was uploaded anew")

    def wants_observation(self, now: float, *, company: bool) -> bool:
        """Tell whether a call that is about to go alone should be observed.

        Args:
            now: the loop's time.
            company: another call of the kind is under way. Without one there is nothing to gain.
        """
        if self.state is State.ALONE and now >= self._not_before:
            self.restart("it is probed anew")
        return (
            company
            and self.state is State.PROBING
            and self._mode == "probe"
            and not self.probing
            and now >= self._not_before
            and self._seen + self.observing < _OBSERVATIONS
        )

    def soon_decided(self, now: float) -> bool:
        """Whether it will soon be known if calls can be joined, so that some may wait for it."""
        return self.state is State.PROBING and (self.probing or now >= self._not_before)

    def note_answer(self, signature: OutputSignature | None, now: float) -> None:
        """Take in the outputs of a call that went alone; None where they lack the call's rows."""
        if self.state is State.ALONE:
            return
        if signature is None:
            self.go_alone("refused", "its outputs do not have the rows of its inputs", now)
        elif self.signature is None:
            self.signature = signature
            if self._mode == "assume":
                self._join(self._largest)
        elif signature != self.signature:
            if self.joined:
                self.restart("its outputs have changed")
            else:
                self.go_alone("refused", "its outputs have other shapes from call to call", now)

    def observe(self, block: Block) -> None:
        """Keep a caller's rows for a probe, unless there are some like them."""
        self._seen += 1
        if all(block.content != other.content for other in self.observed):
            self.observed = [*self.observed, block][-2 * _OBSERVATIONS :]

    def ready(self, now: float) -> bool:
        """Whether a probe should begin: it has rows, and enough or no more are about to come."""
        return (
            bool(self.observed)
            and self.state is State.PROBING
            and not self.probing
            and (self._seen >= _OBSERVATIONS or not self.observing)
            and now >= self._not_before
        )

    def conclude(self, verdict: Verdict, now: float) -> None:
        """Act on what a probe or an audit found."""
        self.difference = max(self.difference, verdict.difference)
        if verdict.outcome == "independent":
            self._join(verdict.rows)
        elif verdict.outcome in _RECONSIDER:
            self.go_alone(verdict.outcome, verdict.why, now)
        elif self.joined:
            if verdict.outcome == "changed":
                self.restart(verdict.why)
        else:
            self.why = verdict.why
            if verdict.outcome == "changed":
                self.observed = []
            self._not_before = now + self._retry_after
            self._retry_after = min(_RETRY_AFTER_AT_MOST, 2 * self._retry_after)
            self._seen = 0

    def _join(self, rows: int) -> None:
        if not self.joined:
            self.state, self.joined, self.why = State.JOINED, True, ""
            self.limit = self._proven = rows
            self.observed = []
        self._proven = max(self._proven, rows)

    def go_alone(self, kind: str, why: str, now: float) -> None:
        """Join no calls until they are reconsidered, later each time."""
        pause = _RECONSIDER[kind] if self._pause < _RECONSIDER[kind] else 4 * self._pause
        self.restart(why)
        self.state = State.ALONE
        self._pause = min(_RECONSIDER_AT_MOST, pause)
        self._not_before = now + self._pause

    def blame_batch(self, now: float) -> None:
        """A batch was refused or answered oddly, and its callers were not: learn anew."""
        if self._mode == "assume":
            self.go_alone("refused", "the model takes no batches", now)
        else:
            self.restart("the model answers batches in another way than before")

    def shrink(self, rows: int) -> None:
        """A batch of so many rows was too large."""
        self.limit = max(1, min(self.limit, rows // 2))

    def note_batch(self, rows: int) -> None:
        """A batch was answered: it may have been a full one, and the next may be larger."""
        if rows >= self.limit < self._proven:
            self.limit = min(self._proven, self.limit + max(1, self._proven // 16))

    def audit_is_due(self) -> bool:
        """Count a batch about to go; tell whether it is to be audited."""
        if self._mode != "probe" or self.probing:
            return False
        self._until_audit -= 1
        if self._until_audit > 0:
            return False
        self._audit_gap = min(self._audit_every, 3 * self._audit_gap)
        self._until_audit = self._audit_gap
        return True

    def audit_next(self) -> None:
        """Audit the next batch."""
        self._until_audit = 1
