"""What a probe finds."""

from __future__ import annotations

from typing import Literal, NamedTuple


class Verdict(NamedTuple):
    """What a probe found.

    Attributes:
        outcome: "independent", "dependent"; "refused" where the model takes no batches; "changed"
            where the model gave another answer alone than before; "unknown" where nothing was
            found out.
        why: in words, unless the rows are independent.
        rows: of the largest batch that was probed.
        difference: the largest relative one.
    """

    outcome: Literal["independent", "dependent", "refused", "changed", "unknown"]
    why: str = ""
    rows: int = 0
    difference: float = 0.0
