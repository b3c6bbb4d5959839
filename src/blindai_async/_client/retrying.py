"""Makes a connection's calls: on a session that may be used, again where that is safe."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, TypeVar

from grpc.aio import UsageError

from blindai_async._client.retry_budget import RetryBudget, is_retryable
from blindai_async._transport.deadline import Deadline
from blindai_async._transport.rpc_errors import without_frames
from blindai_async.errors import DeadlineExceededError, ModelNotFoundError, TransportError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from blindai_async._client.session import EnclaveSession
    from blindai_async._client.session_manager import SessionManager
    from blindai_async.options import RetryPolicy

__all__ = ["RetryingCaller"]

log = logging.getLogger("blindai_async")

# Of gRPC and ours, in seconds: with more time left, it was the peer that had no more.
_CLOCKS_DIFFER = 0.1

_T = TypeVar("_T")


class RetryingCaller:
    """Runs calls over a connection's session.

    Args:
        keeper: hands out the session.
        policy: when a call is sent again.
    """

    def __init__(self, keeper: SessionManager, policy: RetryPolicy) -> None:
        self._keeper = keeper
        self._retries = RetryBudget(policy)
        self._active = 0
        self._drained = asyncio.Event()

    async def run(
        self,
        what: str,
        call: Callable[[EnclaveSession, float], Awaitable[_T]],
        timeout: float,
        may_repeat: Callable[[], bool] = lambda: True,
    ) -> _T:
        """Make a call, again where the retry policy says so.

        Args:
            what: the call, as its deadline's error names it.
            call: takes a session and the seconds that are left.
            timeout: seconds for all attempts together.
            may_repeat: tells whether sending it once more can do no harm.

        Raises:
            ConnectionClosedError: the connection is closed, or was closed during the call.
            BlindAIError: what the last attempt raised, or why new evidence was refused.
        """
        deadline = Deadline(timeout, what)
        self._active += 1
        try:
            attempts = 0
            while True:
                attempts += 1
                session = await self._keeper.session(deadline)
                try:
                    result = await self._attempt(session, call, deadline)
                except TransportError as error:
                    await self._go_on_after(error, session, deadline, attempts, may_repeat)
                else:
                    self._retries.succeeded()
                    return result
        finally:
            self._active -= 1
            if not self._active:
                self._drained.set()

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
            self._keeper.raise_if_ended(without_frames(error))
            raise TransportError("the channel was replaced", code="UNAVAILABLE") from error

    async def _go_on_after(
        self,
        error: TransportError,
        session: EnclaveSession,
        deadline: Deadline,
        attempts: int,
        may_repeat: Callable[[], bool],
    ) -> None:
        """Return when the call is to be made again; raise where it is not."""
        self._keeper.raise_if_ended(error)
        timed_out = isinstance(error, DeadlineExceededError) and deadline.left() < _CLOCKS_DIFFER
        if timed_out and deadline.obstacle:
            raise deadline.exceeded() from error
        if not is_retryable(error):
            raise self._explained(error)
        deadline.obstacle = str(error)
        await self._keeper.recover(session, deadline)
        if deadline.left() <= 0:
            raise deadline.exceeded() from error
        pause = self._retries.pause(attempts) if may_repeat() else None
        if pause is None or pause >= deadline.left():
            raise error
        log.info("%s: attempt %d failed (%s); trying again", deadline.what, attempts, error.code)
        await self._keeper.pause(pause)

    def _explained(self, error: TransportError) -> TransportError:
        """A model that only the enclave's former life knew is not a riddle for its caller."""
        if self._keeper.changes and isinstance(error, ModelNotFoundError):
            hint = "; the enclave has restarted since, and models that were not saved are gone"
            return ModelNotFoundError(f"{error}{hint}", code=error.code, details=error.details)
        return error

    async def drain(self) -> None:
        """Wait until no call is under way."""
        while self._active:
            self._drained.clear()
            await self._drained.wait()
