"""The state of a connection's link to its enclave, and the calls that wait for it to change."""

from __future__ import annotations

import asyncio
import enum
import logging
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal

from blindai_async._base_errors import own_instance
from blindai_async.errors import TransportError

if TYPE_CHECKING:
    from collections.abc import Callable

    from blindai_async._transport.deadline import Deadline

log = logging.getLogger("blindai_async")

WhenDown = Literal["wait", "fail"] | float


class SessionState(enum.StrEnum):
    """What a connection can do at this moment."""

    UNOPENED = "unopened"  # it was made; nothing was sent yet
    UP = "up"  # a channel that is pinned to a proven enclave stands: calls go out
    DOWN = "down"  # there is none; the connection keeps connecting, and `Outage` tells why
    REFUSED = "refused"  # the server's evidence did not pass: each call gets the reason
    CLOSED = "closed"  # by `close`, or because opening failed; for good


@dataclass(frozen=True, slots=True)
class Outage:
    """Why and for how long a connection has been down.

    Attributes:
        since: when it began.
        seconds: how long it has lasted.
        tries: how often connecting was tried since then.
        reason: what the last try met, on every address that it tried.
        next_try: when the next one begins; None while one is under way.
    """

    since: datetime
    seconds: float
    tries: int
    reason: str
    next_try: datetime | None

    def __str__(self) -> str:
        tries = f"{self.tries} {'try' if self.tries == 1 else 'tries'}"
        return f"the server has been unreachable for {self.seconds:.1f} s ({tries}): {self.reason}"


def patience_of(when_down: WhenDown) -> float:
    """The seconds for which a call waits for the link: infinity for "wait", 0 for "fail".

    Raises:
        TypeError: not a text and not a number.
        ValueError: another text, or a number below 0.
    """
    if when_down == "wait":
        return float("inf")
    if when_down == "fail":
        return 0.0
    takes = f'when_down is {when_down!r}; it takes "wait", "fail" or a number of seconds'
    if isinstance(when_down, str):
        raise ValueError(takes)  # noqa: TRY004 - a text is what it takes, but not this one
    if isinstance(when_down, bool) or not isinstance(when_down, int | float):
        raise TypeError(takes)
    if not when_down >= 0:
        raise ValueError(takes)
    return float(when_down)


class Link:
    """Whether the enclave can be called now. Whoever cannot go on waits here, in order.

    Args:
        on_change: called with the old and the new state at each change.

    Attributes:
        state: at this moment.
    """

    def __init__(self, on_change: Callable[[SessionState, SessionState], object] | None) -> None:
        self.state = SessionState.UNOPENED
        self._on_change = on_change
        self._waiting: dict[asyncio.Future[None], None] = {}
        self._since = 0.0
        self._tries = 0
        self._reason = ""
        self._next_try: float | None = None

    def become(self, state: SessionState, reason: str = "") -> None:
        """Change the state, and let those who wait look again."""
        old = self.state
        if old in {state, SessionState.CLOSED}:
            return
        self.state = state
        if state is SessionState.DOWN:
            self._since, self._tries, self._reason = time.monotonic(), 0, reason
            self._next_try = None
            log.info("the server is unreachable: %s", reason)
        else:
            if old is SessionState.DOWN and state is SessionState.UP:
                seconds = time.monotonic() - self._since
                log.info("the server is reachable again, after %.1f s", seconds)
            self._wake()
        log.debug("state: %s -> %s", old, state)
        if self._on_change is not None:
            try:
                self._on_change(old, state)
            except Exception as error:  # noqa: BLE001 - the caller's own; the link's state is ours
                asyncio.get_running_loop().call_exception_handler(
                    {"message": "on_state_change raised an exception", "exception": error}
                )

    def note_try(self, reason: str, pause: float) -> None:
        """Note why a try to connect has failed, and in how many seconds the next one begins."""
        self._tries += 1
        self._reason = reason
        self._next_try = time.monotonic() + pause
        log.debug("connecting failed (%s); next try in %.2f s", reason, pause)

    def begin_try(self) -> None:
        """Note that a try to connect is under way."""
        self._next_try = None

    @property
    def outage(self) -> Outage | None:
        """Why the link is down; None where it is not."""
        if self.state is not SessionState.DOWN:
            return None
        seconds = time.monotonic() - self._since
        now = datetime.now(UTC)
        next_try = self._next_try
        return Outage(
            since=now - timedelta(seconds=seconds),
            seconds=seconds,
            tries=self._tries,
            reason=self._reason,
            next_try=None
            if next_try is None
            else now + timedelta(seconds=next_try - time.monotonic()),
        )

    async def wait_for_change(self, deadline: Deadline, patience: float) -> None:
        """Wait until the link is not down any more.

        Args:
            deadline: of the call.
            patience: seconds after which the call does without an answer before its deadline.

        Raises:
            TransportError: it is still down after `patience` seconds.
            DeadlineExceededError: it is still down at the deadline.
            BaseException: what `fail_waiting` was given.
        """
        if patience <= 0:
            raise self._unavailable(deadline)
        left = deadline.left()
        change: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[change] = None
        try:
            async with asyncio.timeout(max(0.0, min(left, patience))):
                await change
        except TimeoutError:
            if patience < left:
                raise self._unavailable(deadline) from None
            deadline.outage = str(self.outage or "")
            raise deadline.exceeded() from None
        finally:
            self._waiting.pop(change, None)

    def _unavailable(self, deadline: Deadline) -> TransportError:
        return TransportError(
            f"{deadline.what}: {self.outage}", code="UNAVAILABLE", details=self._reason
        )

    def fail_waiting(self, error: BaseException) -> None:
        """End the wait of all who wait now with an error, each with an instance of its own."""
        for change in self._waiting:
            if not change.done():
                change.set_exception(own_instance(error))
                change.exception()  # a caller that is cancelled at this moment never asks for it

    def _wake(self) -> None:
        for change in self._waiting:
            if not change.done():
                change.set_result(None)
