"""Makes a connection's calls: on a session that may be used, again where that is safe."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from typing import TYPE_CHECKING, TypeVar

from grpc.aio import UsageError

from blindai_async._client.call_scope import CallScopes
from blindai_async._transport.rpc_errors import without_frames
from blindai_async.errors import DeadlineExceededError, ModelNotFoundError, TransportError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from blindai_async._client.session import EnclaveSession
    from blindai_async._client.session_manager import SessionManager
    from blindai_async._client.stream_limiter import StreamLimiter
    from blindai_async._transport.deadline import Deadline
    from blindai_async.options import RetryPolicy

log = logging.getLogger("blindai_async")

# Of gRPC and ours, in seconds: with more time left, it was the peer that had no more.
_CLOCKS_DIFFER = 0.1

# In units of what a success earns: ten tenths do not make a whole in floating point.
_COST_OF_RETRY = 10

# A budget that was spent is whole again after this many seconds, successes or none.
_BUDGET_REFILLS_IN = 5.0

# Before a stream that the server refused is asked for again, in seconds: doubled each time.
_REFUSED_DELAY = 0.005
_REFUSED_MAX_DELAY = 1.0

# CANCELLED is the peer's doing: what we cancel ourselves does not come back as an error.
_BROKEN_CODES = frozenset({"UNAVAILABLE", "CANCELLED"})
# Not UNKNOWN: that is what a server says of a model or an input that it has refused.
_RESET_CODES = frozenset({"INTERNAL", "RESOURCE_EXHAUSTED"})

# How gRPC begins to say that a call found no connection to leave by.
_NEVER_SENT = (
    "failed to connect to all addresses",
    "connections to all backends failing",
    "DNS resolution failed",
    "empty address list",
)

_T = TypeVar("_T")


def is_retryable(error: TransportError) -> bool:
    """Tell whether the connection failed, so that the server may never have seen the call.

    A stream that the peer resets is reported under several codes, told apart by text alone. The
    text decides no more than whether a harmless request is sent twice.
    """
    if error.code in _BROKEN_CODES:
        return True
    return error.code in _RESET_CODES and "RST_STREAM" in error.details


def _is_refused_stream(error: TransportError) -> bool:
    """Tell whether the server refused the stream before it looked at it: REFUSED_STREAM.

    RFC 9113, section 8.7: such a request may be sent again, whatever it is.
    """
    return error.code == "UNAVAILABLE" and (
        "RST_STREAM with error code 7" in error.details or "REFUSED_STREAM" in error.details
    )


class RetryBudget:
    """One connection's budget of retries, and the pauses between them.

    gRPC's own retries silently stop for requests that outgrow its buffer: these do not.

    Args:
        policy: how often, how long.
    """

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        self._budget = self._most = float(policy.budget * _COST_OF_RETRY)
        self._counted_at = time.monotonic()

    def succeeded(self) -> None:
        """Earn back a part of a retry."""
        if self._budget < self._most:
            self._budget += 1

    def pause(self, attempts: int, *, link_was_lost: bool = False) -> float | None:
        """Spend a retry: the seconds to wait before it, or None where there is to be none.

        Args:
            attempts: how often the call has been sent.
            link_was_lost: whether the call ended with its connection. Then nothing is spent: a
                server that goes ends all calls under way at once, however many they are, and they
                come back in slices once it is there again. A call that itself ends servers stops
                at its attempts.
        """
        now = time.monotonic()
        earned = (now - self._counted_at) / _BUDGET_REFILLS_IN * self._most
        self._budget = min(self._most, self._budget + earned)
        self._counted_at = now
        if attempts >= self._policy.attempts:
            return None
        if not link_was_lost:
            if self._budget < _COST_OF_RETRY:
                return None
            self._budget -= _COST_OF_RETRY
        ceiling = min(self._policy.max_delay, self._policy.base_delay * 2 ** (attempts - 1))
        return random.uniform(0, ceiling)  # noqa: S311 - spreads callers in time, guards nothing


class RetryingCaller:
    """Runs calls over a connection's session.

    Args:
        manager: hands out the session.
        streams: lends the streams.
        policy: when a call is sent again.

    Attributes:
        calls: those under way.
    """

    def __init__(
        self, manager: SessionManager, streams: StreamLimiter, policy: RetryPolicy
    ) -> None:
        self.calls = CallScopes()
        self._manager = manager
        self._streams = streams
        self._budget = RetryBudget(policy)

    async def run(
        self,
        call: Callable[[EnclaveSession, float], Awaitable[_T]],
        deadline: Deadline,
        patience: float,
        may_repeat: Callable[[], bool] = lambda: True,
    ) -> _T:
        """Make a call, again where that is safe.

        A call that cannot have reached the server is made again until the deadline. One that may
        have is so where the retry policy says so.

        Args:
            call: takes a session and the seconds that are left.
            deadline: of all attempts together.
            patience: seconds for which the call waits for a link that is down.
            may_repeat: tells whether sending it once more can do no harm.

        Raises:
            ConnectionClosedError: the connection is closed, or was closed during the call.
            BlindAIError: what the last attempt raised, or why new evidence was refused.
        """
        attempts = refusals = 0
        with self.calls.scope():
            while True:
                session = self._manager.usable_session()
                if session is None or not self._streams.try_acquire():
                    session = await self._wait_for_stream(deadline, patience)
                try:
                    result = await self._attempt(session, call, deadline)
                except TransportError as error:
                    if _is_refused_stream(error):
                        refusals += 1
                        self._streams.refused()
                        pause = _pause_after_refusal(refusals, deadline)
                    elif self._was_never_sent(error, session):
                        pause = 0.0
                    else:
                        attempts += 1
                        self._manager.suspect(session)
                        lost = not session.is_connected()
                        pause = self._pause_before_retry(
                            error, deadline, attempts, may_repeat, link_was_lost=lost
                        )
                    log.debug("%s: failed (%s); trying again", deadline.what, error)
                else:
                    self._budget.succeeded()
                    self._streams.succeeded()
                    return result
                finally:
                    self._streams.release()
                if pause:
                    await asyncio.sleep(pause)

    async def _wait_for_stream(self, deadline: Deadline, patience: float) -> EnclaveSession:
        """Wait for a session, and then for a stream on it."""
        while True:
            session = await self._manager.session(deadline, patience)
            if not self._streams.try_acquire():
                await self._streams.acquire(deadline)
            if self._manager.usable_session() is session:
                return session
            self._streams.release()  # the link was lost meanwhile

    async def _attempt(
        self,
        session: EnclaveSession,
        call: Callable[[EnclaveSession, float], Awaitable[_T]],
        deadline: Deadline,
    ) -> _T:
        try:
            return await call(session, deadline.remaining())
        except (asyncio.CancelledError, UsageError) as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            # Closing a channel cancels the calls on it: nobody cancelled the caller.
            self._manager.raise_if_ended(without_frames(error))
            raise TransportError("the channel was replaced", code="UNAVAILABLE") from error

    def _was_never_sent(self, error: TransportError, session: EnclaveSession) -> bool:
        """Tell whether a call failed because there was no connection to send it over.

        gRPC tells that by text alone. A server could send the same text, but only over a connection
        that stands.
        """
        self._manager.raise_if_ended(error)
        if error.code != "UNAVAILABLE" or not error.details.startswith(_NEVER_SENT):
            return False
        if session.is_connected():
            return False
        self._manager.suspect(session, lost=error.details)
        return True

    def _pause_before_retry(
        self,
        error: TransportError,
        deadline: Deadline,
        attempts: int,
        may_repeat: Callable[[], bool],
        *,
        link_was_lost: bool,
    ) -> float:
        """The seconds after which a call that may have reached the server is made again.

        Raises:
            TransportError: it is not; `error`, explained where it needs to be.
        """
        if deadline.left() < _CLOCKS_DIFFER and (
            isinstance(error, DeadlineExceededError) or error.details == "Stream removed"
        ):
            raise deadline.exceeded() from error
        if not is_retryable(error):
            raise self._explained(error)
        deadline.obstacle = str(error)
        if deadline.left() <= 0:
            raise deadline.exceeded() from error
        pause = self._budget.pause(attempts, link_was_lost=link_was_lost) if may_repeat() else None
        if pause is None or pause >= deadline.left():
            raise error
        return pause

    def _explained(self, error: TransportError) -> TransportError:
        """Say why the server does not know a model that only the enclave before it knew."""
        if self._manager.changes and isinstance(error, ModelNotFoundError):
            hint = "; the enclave has restarted since, and models that were not saved are gone"
            return ModelNotFoundError(f"{error}{hint}", code=error.code, details=error.details)
        return error


def _pause_after_refusal(refusals: int, deadline: Deadline) -> float:
    """The seconds after which a stream that the server refused is asked for again.

    Raises:
        DeadlineExceededError: that is too late.
    """
    ceiling = min(_REFUSED_MAX_DELAY, _REFUSED_DELAY * 2 ** min(refusals, 10))
    pause = random.uniform(0, ceiling)  # noqa: S311 - spreads callers in time, guards nothing
    if pause >= deadline.left():
        deadline.outage = f"the server refused {refusals} streams"
        raise deadline.exceeded()
    return pause
