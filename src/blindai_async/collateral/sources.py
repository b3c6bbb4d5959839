"""Where a connection's collateral comes from: what `connect(collateral=...)` takes."""

from __future__ import annotations

import asyncio
import os
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeGuard, runtime_checkable

from blindai_async.attestation import SgxCollateral
from blindai_async.collateral.services import INTEL_PCS_URL
from blindai_async.errors import DeadlineExceededError

if TYPE_CHECKING:
    from blindai_async.collateral.pcs_client import PcsClient

__all__ = [
    "CollateralChoice",
    "CollateralSource",
    "collateral_source",
    "fetch_collateral",
    "refetch_collateral",
]


@runtime_checkable
class CollateralSource(Protocol):
    """Knows where to get what Intel has signed about a platform."""

    async def fetch(self, quote: bytes) -> SgxCollateral:
        """Get the collateral that judges a quote; nothing of it is trusted."""
        ...


CollateralChoice = str | os.PathLike[str] | CollateralSource
"""What `connect` takes as `collateral`."""


def collateral_source(choice: CollateralChoice) -> CollateralSource | None:
    """Make of what a caller passed as `collateral` what it stands for; None is the server.

    Nothing is read or asked yet. Connections that name the same service share one client of it.

    Raises:
        ValueError: a URL that cannot be asked.
        TypeError: none of the things that it may be.
        ModuleNotFoundError: a service, and the extra ``collateral`` is not installed.
    """
    if choice == "server":
        return None
    if choice == "pcs":
        return _shared_client(INTEL_PCS_URL)
    if isinstance(choice, str) and "://" in choice:
        return _shared_client(choice)
    if choice == "":  # which, as a path, would be the directory that the process happens to be in
        raise ValueError('collateral is ""; "server" takes what the server sends')
    if isinstance(choice, (str, os.PathLike)):
        from blindai_async.collateral.bundle import CollateralDirectory  # noqa: PLC0415 - few do

        return CollateralDirectory(Path(choice))
    if not isinstance(choice, type) and isinstance(choice, CollateralSource):
        return choice
    raise TypeError(
        f'collateral is {choice!r}; it takes "server", "pcs", the URL of a PCCS, a directory, or '
        "an object with async def fetch(quote) -> SgxCollateral"
    )


@lru_cache(maxsize=64)
def _shared_client(url: str) -> PcsClient:
    from blindai_async.collateral.pcs_client import PcsClient  # noqa: PLC0415 - few fetch

    return PcsClient(url)


async def fetch_collateral(source: CollateralSource, quote: bytes, timeout: float) -> SgxCollateral:
    """Get collateral within a time.

    Raises:
        DeadlineExceededError: the time is up.
        TypeError: the source gave something else.
    """
    return await _get(source, quote, timeout, None)


async def refetch_collateral(
    source: CollateralSource, quote: bytes, timeout: float, older_than: float
) -> SgxCollateral | None:
    """Get collateral past the source's cache, after what it gave did not hold; None without one.

    Args:
        source: where it comes from.
        quote: the quote.
        timeout: seconds.
        older_than: by the monotonic clock; what was fetched later need not be fetched again.
    """
    if not _keeps_a_cache(source):
        return None
    return await _get(source, quote, timeout, older_than)


def _keeps_a_cache(source: CollateralSource) -> TypeGuard[PcsClient]:
    from blindai_async.collateral.pcs_client import PcsClient  # noqa: PLC0415 - few fetch

    return isinstance(source, PcsClient)


async def _get(
    source: CollateralSource, quote: bytes, timeout: float, older_than: float | None
) -> SgxCollateral:
    if _keeps_a_cache(source):
        if older_than is None:
            return await source.fetch(quote, timeout=timeout)
        return await source.refetch(quote, older_than=older_than, timeout=timeout)
    try:
        async with asyncio.timeout(timeout) as limit:
            collateral = await source.fetch(quote)
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise DeadlineExceededError(
            f"collateral: {source!r} gave none within {timeout:.3g} s", code="DEADLINE_EXCEEDED"
        ) from error
    if not isinstance(collateral, SgxCollateral):
        raise TypeError(f"{source!r} gave a {type(collateral).__name__}, not an SgxCollateral")
    return collateral
