"""Whose fault it is when a batch is refused: its size's, a row's, or nobody's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from blindai_async.errors import RequestRejectedError

if TYPE_CHECKING:
    from blindai_async.errors import TransportError

# What a server or gRPC says of a request or a reply that is too large. Any other
# RESOURCE_EXHAUSTED is a server that has too much to do at the moment.
_TOO_LARGE = ("larger than max", "too large", "too big", "too long", "exceeds")


def is_refusal(error: TransportError) -> bool:
    """Tell whether a batch was refused for what is in it: its callers may fare better apart."""
    return isinstance(error, RequestRejectedError) or error.code == "RESOURCE_EXHAUSTED"


def is_too_large(error: TransportError) -> bool:
    """Tell whether a batch, or its answer, was too large: half of it may pass."""
    details = error.details.lower()
    return error.code in ("RESOURCE_EXHAUSTED", "INVALID_ARGUMENT", "OUT_OF_RANGE") and any(
        text in details for text in _TOO_LARGE
    )
