"""GET over HTTP: bounded before it is read, within a deadline, and with errors that say who."""

from __future__ import annotations

import asyncio
import importlib.util
import re
import ssl
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

from anyio import to_thread

from blindai_async.attestation.parsing import excerpt
from blindai_async.collateral.services import is_loopback
from blindai_async.errors import CollateralError

if TYPE_CHECKING:
    import os

    import httpx2

    from blindai_async.collateral.services import Request

__all__ = ["Answer", "HttpClient", "require_httpx"]

# What a busy service asks to be spared is waited for; any other status is its answer.
_BUSY: Final = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
_PROXY: Final = re.compile(r"(https?|socks5h?)://[^/?#\s]+/?$")
_MEANINGS: Final = {
    400: "the service does not understand the request",
    401: "the service wants to know who asks: Intel's gives a PCK certificate only to "
    "subscribers; a PCCS has it for its own platforms",
    404: "the service does not know this platform, or has no such collateral",
    410: "this collateral was withdrawn; ask for another update or evaluation number",
    429: "too many requests, and the service does not say when to come back",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back.

    Attributes:
        body: whole, and no larger than was allowed.
        chain: the issuers' chain, PEM; "" where none was asked for.
    """

    body: bytes
    chain: str


def require_httpx() -> None:
    """Say at once, before anything is sent, that the extra is missing.

    Raises:
        ModuleNotFoundError: it is.
    """
    if importlib.util.find_spec("httpx2") is None:
        raise ModuleNotFoundError(
            "fetching collateral needs httpx2; run: pip install 'blindai-async[collateral]'",
            name="httpx2",
        )


class HttpClient:
    """Makes the requests of one fetch.

    Args:
        base: the service, for the choice of a proxy.
        proxy: where requests go through; None takes the environment's, and for a service on this
            machine none.
        tls_ca: the certificates that may vouch for the service, PEM, in the place of the system's.

    Raises:
        ValueError: the proxy's URL is none.
    """

    def __init__(
        self, base: str, *, proxy: str | None, tls_ca: str | bytes | os.PathLike[str] | None
    ) -> None:
        if proxy is not None and not _PROXY.match(proxy):
            # Not repeated: it may hold a password.
            raise ValueError("proxy is not a URL like http://proxy.example:3128")
        self._proxy = proxy
        # netrc and the environment's proxies are for what is out there.
        self._trust_env = not is_loopback(urlsplit(base).hostname or "")
        self._tls_ca = tls_ca
        self._tls: ssl.SSLContext | None = None

    async def open(self) -> httpx2.AsyncClient:
        """Make a client for one fetch, to be closed by the caller.

        Raises:
            FileNotFoundError: the file of `tls_ca` is not there.
            ValueError: it holds no certificate.
        """
        import httpx2  # noqa: PLC0415 - an extra, imported when first used

        if self._tls is None:
            self._tls = await to_thread.run_sync(_tls_context, self._tls_ca)
        return httpx2.AsyncClient(
            verify=self._tls,
            proxy=self._proxy,
            trust_env=self._trust_env,
            timeout=None,  # the whole fetch has a deadline
            follow_redirects=False,
            # Compressed, a small answer could unfold to any size.
            headers={"Accept-Encoding": "identity"},
        )

    async def get(
        self, client: httpx2.AsyncClient, request: Request, max_bytes: int, until: float
    ) -> Answer:
        """Make a request, again when the service says when to come back.

        Args:
            client: from `open`.
            request: what to ask.
            max_bytes: the largest body that is read.
            until: by the monotonic clock, when no time is left to come back.

        Raises:
            CollateralError: no proper answer came.
        """
        while True:
            answer = await self._once(client, request, max_bytes)
            if isinstance(answer, Answer):
                return answer
            left = until - time.monotonic()
            if answer.wait > left:
                raise _error(
                    request,
                    f"{answer.status}: the service asks to come back in {answer.wait:g} s, and "
                    f"{max(left, 0):.1f} s are left",
                    status=answer.status,
                )
            await asyncio.sleep(answer.wait)

    async def _once(
        self, client: httpx2.AsyncClient, request: Request, max_bytes: int
    ) -> Answer | _ComeBack:
        import httpx2  # noqa: PLC0415 - an extra, imported when first used

        try:
            async with client.stream("GET", request.url) as response:
                if response.status_code in _BUSY:
                    wait = _retry_after(response.headers.get("Retry-After", ""))
                    if wait is not None:
                        return _ComeBack(response.status_code, wait)
                if response.status_code != HTTPStatus.OK:
                    raise _refusal(request, response)
                return Answer(await _body(response, request, max_bytes), _chain(response, request))
        except (httpx2.HTTPError, ssl.SSLError) as error:
            what = str(error) or type(error).__name__
            cut_off = isinstance(error, httpx2.RemoteProtocolError)
            raise _error(
                request,
                f"the answer was cut off, or is not HTTP ({what})"
                if cut_off
                else f"no answer ({what})",
                details=what,
            ) from error


@dataclass(frozen=True, slots=True)
class _ComeBack:
    status: int
    wait: float


async def _body(response: httpx2.Response, request: Request, max_bytes: int) -> bytes:
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise _error(request, "the answer is compressed, which was not asked for", status=200)
    announced = response.headers.get("Content-Length", "")
    body = bytearray()
    # Before a byte of it is read, where the length is told; while it comes, where not.
    if not announced.isdecimal() or int(announced) <= max_bytes:
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > max_bytes:
                break
        else:
            return bytes(body)
    raise _error(request, f"the answer has more than {max_bytes} bytes", status=200)


def _chain(response: httpx2.Response, request: Request) -> str:
    if request.chain_header is None:
        return ""
    value = response.headers.get(request.chain_header)
    if value is None:
        raise _error(
            request, f"the answer has no {request.chain_header}: is it a PCCS?", status=200
        )
    return unquote(value, errors="replace")


def _retry_after(value: str) -> float | None:
    """Read ``Retry-After`` (RFC 9110, 10.2.3): seconds, or a date."""
    value = value.strip()
    if value.isdecimal() and len(value) < 10:
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())


def _refusal(request: Request, response: httpx2.Response) -> CollateralError:
    status = response.status_code
    if response.is_redirect:
        where = excerpt(response.headers.get("Location", ""))
        meaning = f"it leads elsewhere, to {where}; name that service where it is the right one"
    else:
        meaning = _MEANINGS.get(status, "the service has no answer")
    return _error(request, f"{status}: {meaning}", status=status)


def _error(
    request: Request, problem: str, *, status: int = 0, details: str = ""
) -> CollateralError:
    return CollateralError(
        f"collateral: {request.part}: GET {request.shown}: {problem}",
        url=request.shown,
        status=status,
        details=details,
    )


def _tls_context(tls_ca: str | bytes | os.PathLike[str] | None) -> ssl.SSLContext:
    import httpx2  # noqa: PLC0415 - an extra, imported when first used

    if tls_ca is None:
        return httpx2.create_ssl_context()
    pem = tls_ca
    if isinstance(pem, str) and pem.lstrip().startswith("-----BEGIN"):
        pem = pem.encode()
    if not isinstance(pem, bytes):
        pem = Path(pem).read_bytes()
    try:
        # With roots of its own it takes none of the system's.
        return ssl.create_default_context(cadata=pem.decode("ascii"))
    except (ssl.SSLError, UnicodeDecodeError) as error:
        raise ValueError(f"tls_ca holds no certificate in PEM: {error}") from error
