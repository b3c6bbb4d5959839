"""PcsClient: fetches what Intel has signed about a platform, from Intel or from a PCCS."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING, Final

from blindai_async.attestation import SgxCollateral
from blindai_async.collateral.cache import PartCache
from blindai_async.collateral.fetching import PlatformFetch, Wanted, late
from blindai_async.collateral.flights import Flights
from blindai_async.collateral.http import HttpClient, require_httpx
from blindai_async.collateral.parts import (
    read_pck_certificate,
    read_pck_crl,
    read_qe_identity,
    read_root_crl,
    read_tcb_info,
)
from blindai_async.collateral.platforms import (
    Platform,
    UncertifiedPlatform,
    certified_platform,
    platform_of_quote,
)
from blindai_async.collateral.services import INTEL_PCS_URL, CollateralService, Update
from blindai_async.errors import DeadlineExceededError

if TYPE_CHECKING:
    import os

__all__ = ["PcsClient"]

_VERSION: Final = 3  # of the format, as Intel's own provider library gives it
_ANY_TIME: Final = float("-inf")
# What a fetch stops before its caller's time is up: its own error says more.
_HEADSTART: Final = 0.1


class PcsClient:
    """Fetches the collateral of whatever platform a quote is from, SGX or TDX.

    All requests of a platform are made at once, and once for all who ask at that time. What comes
    is kept, each part until a newer one is due by its own word; in the last hour of that time, a
    newer one is asked for, and the old one serves where none comes. Nothing that is fetched is
    trusted: the verification looks at it as at collateral from the server.

    One client may be used by any number of connections, in several event loops. It holds no
    sockets between fetches, and need not be closed.

    Args:
        url: a base like ``https://pccs.example`` (one that ends in ``/sgx/certification/v4/`` is
            taken too), Intel's own service where none is given. Plain ``http`` is for this machine.
        update: "standard", or "early" for what Intel has published most recently, and platforms
            need not meet yet.
        tcb_evaluation_data_number: of TCB info and QE identity, in the place of `update`.
        cache_dir: where parts are kept on disk, too; made with mode 0700 where it is not there.
            Any number of processes may share it.
        timeout: seconds for the collateral of one platform.
        proxy: a URL that requests go through. Where None, the environment's (``HTTPS_PROXY``), and
            none for a service on this machine.
        tls_ca: for a PCCS with a certificate of its own: a PEM file, or PEM itself, of what may
            vouch for it in the place of the system's roots.

    Raises:
        ValueError: a URL that cannot be asked, a proxy or a timeout that is none, or `update` and
            `tcb_evaluation_data_number` both.
        TypeError: an argument of another type.
        ModuleNotFoundError: the extra ``collateral`` is not installed.
    """

    def __init__(
        self,
        url: str = INTEL_PCS_URL,
        *,
        update: Update = "standard",
        tcb_evaluation_data_number: int | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        timeout: float = 10.0,
        proxy: str | None = None,
        tls_ca: str | bytes | os.PathLike[str] | None = None,
    ) -> None:
        self._service = CollateralService(
            url, update=update, tcb_evaluation_data_number=tcb_evaluation_data_number
        )
        if isinstance(timeout, bool) or not isinstance(timeout, int | float):
            raise TypeError(f"timeout is {timeout!r}; it takes a number of seconds")
        if not 0 < timeout < float("inf"):
            raise ValueError(f"timeout is {timeout}; it takes a number of seconds, more than 0")
        require_httpx()
        self._timeout = timeout
        self._http = HttpClient(self._service.base, proxy=proxy, tls_ca=tls_ca)
        self._cache = PartCache(cache_dir)
        self._flights: Flights[SgxCollateral] = Flights()

    @property
    def url(self) -> str:
        """The base of all requests."""
        return self._service.base

    async def fetch(self, quote: bytes, *, timeout: float | None = None) -> SgxCollateral:
        """Fetch the collateral that judges a quote, or take it from the cache.

        Args:
            quote: the quote, as a server gave it.
            timeout: seconds, no more than the client's own.

        Raises:
            QuoteValidationError: it is not a quote, or does not name its platform.
            CollateralError: the service was not reached, or has no proper answer. It says what was
                asked of whom.
            DeadlineExceededError: no answer came in time.
            PermissionError: others may write to `cache_dir`.
        """
        return await self._joined(platform_of_quote(quote), _ANY_TIME, timeout)

    async def refetch(
        self, quote: bytes, *, older_than: float, timeout: float | None = None
    ) -> SgxCollateral:
        """Fetch anew what the cache has had since before a moment; as `fetch` in all else.

        Args:
            quote: the quote.
            older_than: the moment, by ``time.monotonic()``; what was fetched later is kept.
            timeout: seconds, no more than the client's own.
        """
        return await self._joined(platform_of_quote(quote), older_than, timeout)

    def __repr__(self) -> str:
        return f"PcsClient({self.url!r})"

    async def _joined(
        self, platform: Platform | UncertifiedPlatform, older_than: float, timeout: float | None
    ) -> SgxCollateral:
        seconds = self._timeout if timeout is None else min(timeout, self._timeout)
        until = time.monotonic() + seconds
        key = platform, older_than > _ANY_TIME
        headstart = min(_HEADSTART, seconds / 10)
        collect = partial(self._collect, platform, older_than, until - headstart)
        try:
            async with asyncio.timeout(seconds):
                try:
                    return await self._flights.join(key, collect)
                except DeadlineExceededError:
                    if time.monotonic() > until - 2 * headstart:
                        raise
                    # It was begun by another, with less time.
                    return await self._flights.join(key, collect)
        except DeadlineExceededError:
            raise
        except TimeoutError:
            raise late(f"from {self.url}", seconds) from None

    async def _collect(
        self, platform: Platform | UncertifiedPlatform, older_than: float, until: float
    ) -> SgxCollateral:
        fetch = PlatformFetch(self._http, self._cache, older_than, until)
        try:
            pck = None
            if isinstance(platform, UncertifiedPlatform):
                request = self._service.pck_certificate(platform)
                (pck,) = await fetch.parts(Wanted("PCK certificate", request, read_pck_certificate))
                platform = certified_platform(pck.text, platform.tee)
            tcb_info, identity, pck_crl, root_crl = await fetch.parts(*self._wanted(platform))
        finally:
            await fetch.close()
        return SgxCollateral(
            version=_VERSION,
            pck_crl_issuer_chain=pck_crl.issuer_chain,
            root_ca_crl=root_crl.text,
            pck_crl=pck_crl.text,
            tcb_info_issuer_chain=tcb_info.issuer_chain,
            tcb_info=tcb_info.text,
            qe_identity_issuer_chain=identity.issuer_chain,
            qe_identity=identity.text,
            pck_certificate="" if pck is None else pck.text,
            pck_signing_chain="" if pck is None else pck.issuer_chain,
        )

    def _wanted(self, platform: Platform) -> tuple[Wanted, ...]:
        tee, service = platform.tee, self._service
        return (
            Wanted(
                "TCB info",
                service.tcb_info(tee, platform.fmspc),
                partial(read_tcb_info, tee=tee, fmspc=platform.fmspc),
            ),
            Wanted("QE identity", service.qe_identity(tee), partial(read_qe_identity, tee=tee)),
            Wanted("PCK CRL", service.pck_crl(platform.ca), read_pck_crl),
            Wanted("root CRL", service.root_crl(), read_root_crl),
        )
