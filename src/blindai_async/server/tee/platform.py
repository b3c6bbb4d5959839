"""What the server asks of the hardware it runs on: evidence about itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["QuotingPlatform"]


@runtime_checkable
class QuotingPlatform(Protocol):
    """A platform that proves which enclave holds a piece of data."""

    def quote(self, enclave_held_data: bytes) -> bytes:
        """Make an SGX quote whose report data commits to `enclave_held_data`."""
        ...

    def collateral(self) -> Mapping[str, str | int]:
        """The collateral for that quote, keyed by the field names of `SgxCollateral`."""
        ...
