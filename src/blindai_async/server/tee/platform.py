"""What the server asks of the hardware it runs on: evidence about itself."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["NONCE_SIZE", "QuotingPlatform", "report_data_for"]

NONCE_SIZE = 32


@runtime_checkable
class QuotingPlatform(Protocol):
    """A platform that proves what runs on it: an SGX enclave, or a TDX trust domain."""

    @property
    def tee(self) -> Literal["sgx", "tdx"]:
        """The kind of trusted execution environment."""
        ...

    def quote(self, report_data: bytes) -> bytes:
        """Make a quote that carries 64 bytes chosen by what runs on the platform.

        Called in a thread, one call at a time.
        """
        ...

    def collateral(self) -> Mapping[str, str | int] | None:
        """The collateral for that quote, keyed by the field names of `SgxCollateral`.

        None where the platform has none to give: clients then have to fetch it themselves.
        """
        ...


def report_data_for(enclave_held_data: bytes, nonce: bytes = b"") -> bytes:
    """Commit a quote to a piece of data and, where a client sent one, to its nonce.

    Args:
        enclave_held_data: the server's TLS certificate in DER.
        nonce: 32 random bytes of the client's; b"" where it sent none.

    Returns:
        64 bytes: SHA-256 of the data, then SHA-256 of the nonce, or zeros without a nonce. Clients
        that know of no nonce look at the first half alone.
    """
    freshness = hashlib.sha256(nonce).digest() if nonce else bytes(32)
    return hashlib.sha256(enclave_held_data).digest() + freshness
