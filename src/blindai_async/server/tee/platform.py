"""What the server asks of the hardware it runs on: evidence about itself."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "NONCE_SIZE",
    "REPORT_DATA_SIZE",
    "MachinePlatform",
    "QuotingPlatform",
    "report_data_for",
    "require_report_data",
]

NONCE_SIZE = 32
REPORT_DATA_SIZE = 64


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


@runtime_checkable
class MachinePlatform(QuotingPlatform, Protocol):
    """The hardware under this very process, as opposed to an emulated platform."""

    def check(self) -> None:
        """Find out whether quotes can be asked for, without asking for one.

        Raises:
            TeeError: they cannot.
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


def require_report_data(report_data: bytes) -> None:
    """Refuse report data that no hardware takes.

    Raises:
        ValueError: these are not 64 bytes.
    """
    if len(report_data) != REPORT_DATA_SIZE:
        raise ValueError(
            f"report_data must be {REPORT_DATA_SIZE} bytes, not {len(report_data)}; "
            "report_data_for() makes them of what the enclave holds"
        )
