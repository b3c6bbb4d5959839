"""The time that evidence is judged at, and how long all of it together is valid."""

from __future__ import annotations

from datetime import UTC, datetime

from blindai_async.attestation.parsing import EvidenceError, excerpt

__all__ = ["Validity", "utc"]


def utc(at: datetime | None) -> datetime:
    """Return the time to judge at, in UTC; the present where none is named.

    Raises:
        ValueError: the time has no time zone: it would be another moment on another machine. Or
            it lies outside of the years that UTC times can have.
    """
    if at is None:
        return datetime.now(UTC)
    if at.utcoffset() is None:
        raise ValueError(f"at={at!r} has no time zone; name one, such as datetime.UTC")
    try:
        return at.astimezone(UTC)
    except OverflowError as error:
        raise ValueError(f"at={at!r} is no time in UTC") from error


class Validity:
    """Holds every part of the evidence against one moment, and keeps where the windows overlap.

    Attributes:
        at: the moment.
        valid_from: the latest start of all windows so far.
        valid_until: the earliest end of all windows so far; the moment itself still counts.
    """

    def __init__(self, at: datetime) -> None:
        self.at = at
        self.valid_from: datetime = datetime.min.replace(tzinfo=UTC)
        self.valid_until: datetime = datetime.max.replace(tzinfo=UTC)

    def require(self, what: str, start: datetime, end: datetime, *, of: str = "") -> None:
        """Demand that the moment lies within a part's window, both edges included.

        Args:
            what: the kind of part, for the message.
            start: the first moment at which it is valid.
            end: the last one.
            of: whose part it is, a name from the evidence.

        Raises:
            EvidenceError: the part is not valid yet, or not any more.
        """
        if self.at < start:
            raise EvidenceError(
                f"{_named(what, of)} is not valid before {start:%Y-%m-%d %H:%M:%S} UTC"
            )
        if self.at > end:
            raise EvidenceError(f"{_named(what, of)} has expired at {end:%Y-%m-%d %H:%M:%S} UTC")
        self.valid_from = max(self.valid_from, start)
        self.valid_until = min(self.valid_until, end)


def _named(what: str, of: str) -> str:
    return f"{what} {excerpt(of)}" if of else what
