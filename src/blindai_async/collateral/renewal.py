"""When something that expires is worth having anew before it does."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["renewal_time"]

_MARGIN: Final = timedelta(hours=1)
_PART_OF_WINDOW: Final = 10


def renewal_time(valid_from: datetime, valid_until: datetime) -> datetime:
    """Tell from when on a newer one is asked for, while the old one still counts.

    An hour before the end, or in the last tenth of a window that is shorter than ten hours. Intel
    issues collateral for 30 days and new one every day, so there is one by then.
    """
    return valid_until - min(_MARGIN, (valid_until - valid_from) / _PART_OF_WINDOW)
