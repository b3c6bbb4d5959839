"""How a quote's report data bind what the caller holds, and the nonce that makes a quote fresh."""

from __future__ import annotations

import hashlib
from enum import StrEnum
from typing import Final

__all__ = ["Binding", "is_fresh", "nonce_digest"]

_HALF: Final = 32


class Binding(StrEnum):
    """How the 64 bytes of report data bind the enclave held data. Nothing else is guessed."""

    SHA256 = "sha256"
    """The first half is the SHA-256 of the held data: what BlindAI servers do."""
    RAW_32 = "raw32"
    """The first half is the held data themselves, 32 bytes."""
    RAW_64 = "raw64"
    """Both halves are the held data themselves, 64 bytes."""

    def bound(self, report_data: bytes) -> bytes:
        """Return the part of the report data that binds."""
        return report_data if self is Binding.RAW_64 else report_data[:_HALF]

    def expected(self, enclave_held_data: bytes) -> bytes:
        """Return what that part has to be for these data."""
        if self is Binding.SHA256:
            return hashlib.sha256(enclave_held_data).digest()
        return enclave_held_data


def nonce_digest(nonce: bytes) -> bytes:
    """Return what the second half of the report data is in a quote that is made for the nonce."""
    return hashlib.sha256(nonce).digest()


def is_fresh(report_data: bytes, nonce: bytes) -> bool:
    """Tell whether the report data answer this nonce; never where there is none."""
    return bool(nonce) and report_data[_HALF:] == nonce_digest(nonce)
