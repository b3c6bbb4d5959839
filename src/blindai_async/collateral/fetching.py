"""The parts of one platform's collateral, got at once: from the cache, or asked for."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Final, NamedTuple

from blindai_async.attestation.parsing import EvidenceError
from blindai_async.collateral import cache
from blindai_async.collateral.parts import MAX_BODY_BYTES
from blindai_async.collateral.renewal import renewal_time
from blindai_async.errors import CollateralError, DeadlineExceededError, TransportError

if TYPE_CHECKING:
    import httpx2

    from blindai_async.collateral.cache import CachedPart, PartCache
    from blindai_async.collateral.http import HttpClient
    from blindai_async.collateral.parts import Kind, Part, PartReader
    from blindai_async.collateral.services import Request

__all__ = ["PlatformFetch", "Wanted", "late"]

log: logging.Logger = logging.getLogger("blindai_async")

# Of a fetch's time, for a newer part while the old one would do.
_EARLY_SHARE: Final = 0.25


class Wanted(NamedTuple):
    """A part that is needed.

    Attributes:
        kind: which one.
        request: how a service is asked for it.
        read: what makes it of the answer.
    """

    kind: Kind
    request: Request
    read: PartReader


class PlatformFetch:
    """One fetch of one platform's parts.

    Args:
        http: makes the requests.
        parts: the cache.
        older_than: by the monotonic clock; what the cache has had since before is fetched anew.
        until: by the monotonic clock, when the time is up.
    """

    def __init__(self, http: HttpClient, parts: PartCache, older_than: float, until: float) -> None:
        self._http = http
        self._cache = parts
        self._older_than = older_than
        self._until = until
        self._client: httpx2.AsyncClient | None = None

    async def close(self) -> None:
        """Close the sockets."""
        if self._client is not None:
            await self._client.aclose()

    async def parts(self, *wanted: Wanted) -> list[Part]:
        """Get the parts, all at once; the first that cannot be had ends the others.

        Raises:
            CollateralError: one cannot be had.
            DeadlineExceededError: one did not come in time.
            PermissionError: others may write to the cache's directory.
        """
        kept = [await self._cache.get(one.request, one.read) for one in wanted]
        serving = [one.part if one is not None and self._serves(one) else None for one in kept]
        if self._client is None and None in serving:
            self._client = await self._http.open()
        tasks = [
            asyncio.ensure_future(self._part(one, old))
            for one, old, part in zip(wanted, kept, serving, strict=True)
            if part is None
        ]
        try:
            fetched = iter(await asyncio.gather(*tasks))
            return [next(fetched) if part is None else part for part in serving]
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _serves(self, kept: CachedPart) -> bool:
        """Tell whether a part from the cache does, and nothing has to be asked."""
        if kept.fetched_at < self._older_than:
            return False
        return cache.now() < renewal_time(kept.part.valid_from, kept.part.valid_until)

    async def _part(self, wanted: Wanted, kept: CachedPart | None) -> Part:
        """Fetch a part; where the old one would still do, it does if no newer one comes."""
        left = self._until - time.monotonic()
        if kept is None or kept.fetched_at < self._older_than:
            return await self._answer(wanted, left)
        try:
            return await self._answer(wanted, left * _EARLY_SHARE)
        except TransportError as error:
            log.info("%s; what is there is valid until %s", error, kept.part.valid_until)
            return kept.part

    async def _answer(self, wanted: Wanted, seconds: float) -> Part:
        request = wanted.request
        if self._client is None:
            raise RuntimeError("a request before the client is open")
        try:
            async with asyncio.timeout(seconds):
                answer = await self._http.get(
                    self._client, request, MAX_BODY_BYTES[wanted.kind], time.monotonic() + seconds
                )
        except TimeoutError:
            raise late(f"{request.part}: GET {request.shown}", seconds) from None
        try:
            part = wanted.read(answer.body, answer.chain)
        except EvidenceError as error:
            raise CollateralError(
                f"collateral: {request.part}: GET {request.shown}: the answer is not what was "
                f"asked for: {error}",
                url=request.shown,
                status=200,
            ) from error
        await self._cache.put(request, part)
        return part


def late(what: str, seconds: float) -> DeadlineExceededError:
    """The error of a request that was not answered in time."""
    return DeadlineExceededError(
        f"collateral: {what}: no whole answer within {seconds:.3g} s", code="DEADLINE_EXCEEDED"
    )
