"""Whether a failed call may be sent again, and after how long."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from blindai_async.errors import TransportError
    from blindai_async.options import RetryPolicy

__all__ = ["RetryBudget", "is_retryable"]

# In units of what a success earns: ten tenths do not make a whole in floating point.
_COST_OF_RETRY = 10

# CANCELLED is the peer's doing: what we cancel ourselves does not come back as an error.
_BROKEN_CODES = frozenset({"UNAVAILABLE", "CANCELLED"})
# Not UNKNOWN: that is what a server says of a model or an input that it has refused.
_RESET_CODES = frozenset({"INTERNAL", "RESOURCE_EXHAUSTED"})


def is_retryable(error: TransportError) -> bool:
    """Tell whether the connection failed, so that the server may never have seen the call.

    A stream that the peer resets is reported under several codes, told apart by text alone. The
    text decides no more than whether a harmless request is sent twice.
    """
    if error.code in _BROKEN_CODES:
        return True
    return error.code in _RESET_CODES and "RST_STREAM" in error.details


class RetryBudget:
    """One connection's budget of retries, and the pauses between them.

    gRPC's own retries silently stop for requests that outgrow its buffer: these do not.

    Args:
        policy: how often, how long.
    """

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        self._budget = self._most = policy.budget * _COST_OF_RETRY

    def succeeded(self) -> None:
        """Earn back a part of a retry."""
        if self._budget < self._most:
            self._budget += 1

    def pause(self, attempts: int) -> float | None:
        """Spend a retry: the seconds to wait before it, or None where there is to be none.

        Args:
            attempts: how often the call has been sent.
        """
        if attempts >= self._policy.attempts or self._budget < _COST_OF_RETRY:
            return None
        self._budget -= _COST_OF_RETRY
        ceiling = min(self._policy.max_delay, self._policy.base_delay * 2 ** (attempts - 1))
        return random.uniform(0, ceiling)  # noqa: S311 - spreads callers in time, guards nothing
