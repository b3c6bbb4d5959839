"""What every parser of evidence shares: the limits that bound its work, and its one error.

The evidence comes from an untrusted host. Each limit is several times what real evidence needs;
what exceeds one is refused before it is read, so that no input costs more than a few milliseconds.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from blindai_async.attestation.tee import Tee

__all__ = [
    "MAX_CHAIN_CHARS",
    "MAX_CRL_CHARS",
    "MAX_HELD_DATA_BYTES",
    "MAX_JSON_CHARS",
    "MAX_QUOTE_BYTES",
    "EvidenceError",
    "UnsupportedEvidenceError",
    "excerpt",
    "parse_timestamp",
]

MAX_QUOTE_BYTES: Final = 64 * 1024
"""A whole quote; real ones have under 5 KB."""
MAX_CHAIN_CHARS: Final = 32 * 1024
"""A PEM certificate chain; real ones have under 4 KB."""
MAX_CRL_CHARS: Final = 1024 * 1024
"""A CRL, PEM or hex; real ones have under 4 KB, but grow with every revocation."""
MAX_JSON_CHARS: Final = 128 * 1024
"""TCB info or QE identity; real ones have under 20 KB. It also bounds the digits of a number."""
MAX_HELD_DATA_BYTES: Final = 64 * 1024
"""The enclave held data, a certificate of under 1 KB."""

_TIMESTAMP: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
_MAX_EXCERPT_CHARS: Final = 40


class EvidenceError(ValueError):
    """A part of the evidence is malformed or does not hold.

    Parsers and checks raise it; it never leaves the package: the verification turns it into the
    error of the step that was under way.
    """

    part = ""
    """The part of the step that failed, by its own name; "" where the step has no parts."""


class UnsupportedEvidenceError(EvidenceError):
    """Evidence that is recognised, and that this package does not verify.

    Attributes:
        tee: the kind of environment, as far as it was read; None where it was not.
    """

    def __init__(self, message: str, tee: Tee | None = None) -> None:
        super().__init__(message)
        self.tee = tee


def excerpt(text: object) -> str:
    """Quote text from outside for a message: short, and with no control characters in it."""
    quoted = ascii(text) if not isinstance(text, str) else ascii(text[: _MAX_EXCERPT_CHARS + 1])
    return quoted if len(quoted) <= _MAX_EXCERPT_CHARS + 2 else quoted[:_MAX_EXCERPT_CHARS] + "...'"


def parse_timestamp(text: object) -> datetime:
    """Parse a time of the collateral, in the one form it uses: ``2022-08-23T09:06:29Z``.

    Raises:
        EvidenceError: it is not in that form, or no such time exists.
    """
    if not isinstance(text, str) or not _TIMESTAMP.fullmatch(text):
        raise EvidenceError(f"{excerpt(text)} is not a time in the form YYYY-MM-DDThh:mm:ssZ")
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise EvidenceError(f"{excerpt(text)} is not a time that exists") from error
