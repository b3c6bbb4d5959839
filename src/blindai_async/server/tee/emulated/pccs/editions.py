"""One platform's collateral at several moments: this evaluation of its TCB, the next, an old."""

from __future__ import annotations

from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING

from blindai_async.server.tee.emulated.tcb_evaluation import TcbEvaluationDataNumbers

if TYPE_CHECKING:
    from blindai_async.server.tee.emulated.emulated import EmulatedPlatform

__all__ = ["Editions"]


class Editions:
    """The platform as it is, "standard", and with the next evaluation data number, "early".

    Each is made once, so that what is served twice is the same bytes.

    Args:
        platform: says which number is the standard one.
    """

    def __init__(self, platform: EmulatedPlatform) -> None:
        self.standard: EmulatedPlatform = _as_of_api_4(platform)
        number = self.standard.blueprint.tcb_info.tcb_evaluation_data_number
        self._numbers: tuple[int, ...] = () if number is None else (number + 1, number)

    @property
    def numbers(self) -> tuple[int, ...]:
        """The evaluation data numbers that there are, from the newest; none where it lacks."""
        return self._numbers

    @cached_property
    def early(self) -> EmulatedPlatform:
        """The edition with the next number, or the only one where there are no numbers."""
        return _renumbered(self.standard, self._numbers[0]) if self._numbers else self.standard

    @cached_property
    def expired(self) -> Editions:
        """The same, with documents and revocation lists that expired an hour ago."""
        return Editions(_expired(self.standard))

    @cached_property
    def evaluation_numbers(self) -> str:
        """The signed list of the numbers."""
        pieces = self.standard.blueprint
        document = TcbEvaluationDataNumbers(
            issue_date=pieces.tcb_info.issue_date,
            next_update=pieces.tcb_info.next_update,
            id=self.standard.tee.upper(),
            numbers=self._numbers,
        )
        return document.text(pieces.pki.tcb_signer.key)

    def numbered(self, number: int) -> EmulatedPlatform | None:
        """Return the edition of an evaluation data number, or None."""
        if number not in self._numbers:
            return None
        return self.early if number == self._numbers[0] else self.standard


def _expired(platform: EmulatedPlatform) -> EmulatedPlatform:
    last, end = platform.now - timedelta(days=30), platform.now - timedelta(hours=1)
    return platform.with_changes(
        {
            f"{piece}.{name}": moment
            for piece, first in (
                ("tcb_info", "issue_date"),
                ("qe_identity", "issue_date"),
                ("crls.root", "last_update"),
                ("crls.pck", "last_update"),
            )
            for name, moment in ((first, last), ("next_update", end))
        }
    )


def _as_of_api_4(platform: EmulatedPlatform) -> EmulatedPlatform:
    """API v4 knows TCB info of version 3 alone."""
    if platform.blueprint.tcb_info.version == 3:
        return platform
    return platform.with_changes({"tcb_info.version": 3})


def _renumbered(platform: EmulatedPlatform, number: int) -> EmulatedPlatform:
    pieces = platform.blueprint
    return platform.with_changes(
        {
            f"{name}.tcb_evaluation_data_number": number
            for name, piece in (("tcb_info", pieces.tcb_info), ("qe_identity", pieces.qe_identity))
            if piece.tcb_evaluation_data_number != number
        }
    )
