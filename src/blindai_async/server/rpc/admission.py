"""What every call goes through: draining, limits on what is unfinished, errors into statuses."""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING, Any

import grpc

from blindai_async._transport.active_calls import ActiveCalls
from blindai_async.server.status_errors import RefusalError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from blindai_async.server.rpc.call_deadlines import CallDeadline

    Context = grpc.aio.ServicerContext[bytes, bytes]
    Handler = Callable[[Any, Context], Awaitable[bytes]]

__all__ = ["CallAdmission", "Context", "PendingBytes", "receive"]

_logger = logging.getLogger(__name__)


class CallAdmission:
    """Counts the calls under way, and admits no new one once the server drains."""

    def __init__(self) -> None:
        self._calls = ActiveCalls()
        self._closed = False

    def close(self) -> None:
        """Refuse new calls from now on."""
        self._closed = True

    async def wait_idle(self) -> None:
        """Wait until no call is under way."""
        await self._calls.wait_idle()

    def admitted(self, handler: Handler) -> Handler:
        """Wrap a handler: count its calls, turn what it raises into a status."""

        async def call(request: Any, context: Context) -> bytes:
            if self._closed:
                await context.abort(grpc.StatusCode.UNAVAILABLE, "The server is shutting down")
            self._calls.begin()
            try:
                return await handler(request, context)
            except RefusalError as refusal:
                await context.abort(refusal.code, refusal.details)
            except Exception:
                # gRPC would send the exception's text to the peer, whatever it holds.
                _logger.exception("a call failed unexpectedly")
                await context.abort(grpc.StatusCode.INTERNAL, "Internal error")
            finally:
                self._calls.end()

        return call


class PendingBytes:
    """How much the server holds for requests that it has not answered yet, over all calls."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = 0

    @contextlib.contextmanager
    def account(self) -> Iterator[Callable[[int], None]]:
        """Give one call a function to account for bytes with; they are given back at its end.

        The function raises `RefusalError` (RESOURCE_EXHAUSTED) where all calls together hold too
        much.
        """
        mine = 0

        def take(size: int) -> None:
            nonlocal mine
            mine += size
            self._held += size
            if self._held > self._limit:
                raise RefusalError(
                    grpc.StatusCode.RESOURCE_EXHAUSTED,
                    "The server holds too many unfinished requests",
                )

        try:
            yield take
        finally:
            self._held -= mine


async def receive(
    context: Context, accept: Callable[[bytes], int], deadline: CallDeadline, *, timeout: float
) -> None:
    """Read a request stream to its end.

    Args:
        context: the call.
        accept: takes each message; returns how many bytes of content it brought.
        deadline: the call's deadline.
        timeout: seconds within which more content must come. Empty messages do not count: they
            would keep a stream open for ever at no cost.

    Raises:
        RefusalError: whatever `accept` raises.
    """
    silent = f"The stream sent nothing for {timeout:g} s"
    deadline.allow(timeout, silent)
    while isinstance(message := await context.read(), bytes):
        if accept(message):
            deadline.allow(timeout, silent)
