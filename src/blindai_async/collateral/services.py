"""What a service of collateral is asked: Intel's PCS in version 4, and a PCCS, which serves alike.

Source: Intel, "SGX and TDX Provisioning Certification Service", API version 4; "Provisioning
Certificate Caching Service (PCCS)", design guide.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import quote as percent_encoded
from urllib.parse import urlencode, urlsplit

if TYPE_CHECKING:
    from blindai_async.collateral.platforms import Ca, Tee, UncertifiedPlatform

__all__ = ["INTEL_PCS_URL", "CollateralService", "Request", "Update", "is_loopback"]

INTEL_PCS_URL: Final = "https://api.trustedservices.intel.com"
"""Intel's own service, open to everybody for all that a verifier needs."""

Update = Literal["standard", "early"]

_INTEL_ROOT_CRL: Final = "https://certificates.trustedservices.intel.com/IntelSGXRootCA.der"
_API_PATHS: Final = ("/sgx/certification/v4", "/tdx/certification/v4")
_TCB_CHAIN: Final = "TCB-Info-Issuer-Chain"
_IDENTITY_CHAIN: Final = "SGX-Enclave-Identity-Issuer-Chain"
_CRL_CHAIN: Final = "SGX-PCK-CRL-Issuer-Chain"
_PCK_CHAIN: Final = "SGX-PCK-Certificate-Issuer-Chain"


@dataclass(frozen=True, slots=True)
class Request:
    """One GET.

    Attributes:
        part: what is asked for, in words.
        url: whole.
        chain_header: which header of the answer holds the issuers' chain; None where none does.
        shown: the URL as messages show it, without what identifies a machine.
    """

    part: str
    url: str
    chain_header: str | None
    shown: str


class CollateralService:
    """The addresses of one service.

    Args:
        url: a base like ``https://pccs.example``; one that ends in ``/sgx/certification/v4/`` is
            taken too.
        update: "early" gives what Intel has published most recently, "standard" what platforms
            have to meet by now.
        tcb_evaluation_data_number: of TCB info and QE identity, in the place of `update`.

    Raises:
        ValueError: a URL that cannot be asked, or both ways to choose an update.
        TypeError: something that is not a URL, or a number that is none.
    """

    def __init__(
        self,
        url: str,
        *,
        update: Update = "standard",
        tcb_evaluation_data_number: int | None = None,
    ) -> None:
        self.base: str = _base(url)
        self._is_intels = self.base == INTEL_PCS_URL
        self._choice = _choice(update, tcb_evaluation_data_number)

    def tcb_info(self, tee: Tee, fmspc: bytes) -> Request:
        """Which patch level of a family of platforms has which status."""
        query = {"fmspc": fmspc.hex().upper(), **self._choice}
        return self._request("the TCB info", f"/{tee}/certification/v4/tcb", query, _TCB_CHAIN)

    def qe_identity(self, tee: Tee) -> Request:
        """What the quoting enclave looks like."""
        path = f"/{tee}/certification/v4/qe/identity"
        return self._request("the QE identity", path, self._choice, _IDENTITY_CHAIN)

    def pck_crl(self, ca: Ca) -> Request:
        """Which platforms are revoked."""
        query = {"ca": ca, "encoding": "der"}
        path = "/sgx/certification/v4/pckcrl"  # for TDX too
        return self._request("the PCK revocation list", path, query, _CRL_CHAIN)

    def root_crl(self) -> Request:
        """Which of Intel's own certificates are revoked."""
        part = "the root's revocation list"
        if self._is_intels:
            return Request(part, _INTEL_ROOT_CRL, None, _INTEL_ROOT_CRL)
        return self._request(part, "/sgx/certification/v4/rootcacrl", {}, None)

    def pck_certificate(self, platform: UncertifiedPlatform) -> Request:
        """The certificate of a platform whose quote does not carry it."""
        query = {
            "encrypted_ppid": platform.encrypted_ppid.hex(),
            "cpusvn": platform.cpu_svn.hex(),
            "pcesvn": platform.pce_svn.to_bytes(2, "little").hex(),
            "pceid": platform.pce_id.hex(),
        }
        if not self._is_intels:
            query["qeid"] = platform.qe_id.hex()
        path = "/sgx/certification/v4/pckcert"
        request = self._request("the PCK certificate", path, query, _PCK_CHAIN)
        return Request(request.part, request.url, request.chain_header, f"{self.base}{path}?…")

    def _request(
        self, part: str, path: str, query: dict[str, str], chain_header: str | None
    ) -> Request:
        url = f"{self.base}{path}" + (f"?{urlencode(query)}" if query else "")
        return Request(part, url, chain_header, url)


def _choice(update: Update, number: int | None) -> dict[str, str]:
    if update not in ("standard", "early"):
        raise ValueError(f'update is {update!r}; it takes "standard" or "early"')
    if number is None:
        # "standard" is what a service gives when it is not asked for anything else.
        return {} if update == "standard" else {"update": update}
    if isinstance(number, bool) or not isinstance(number, int):
        raise TypeError(f"tcb_evaluation_data_number is {number!r}; it takes a whole number")
    if number < 1:
        raise ValueError(f"tcb_evaluation_data_number is {number}; the first one is 1")
    if update == "early":
        raise ValueError('update="early" and tcb_evaluation_data_number exclude each other')
    return {"tcbEvaluationDataNumber": str(number)}


def _base(url: str) -> str:
    """Bring a service's URL into the one form that paths are appended to."""
    if not isinstance(url, str):
        raise TypeError(f"the URL of a collateral service is a str, not a {type(url).__name__}")
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError as error:
        raise ValueError(f"collateral service {url!r} is not a URL: {error}") from error
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise ValueError(f"collateral service {url!r} is not a URL like https://pccs.example")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise ValueError(
            f"collateral service {url!r}: plain http is for this machine only; use https, and "
            "tls_ca= where its certificate is one of its own"
        )
    if parts.username is not None or parts.query or parts.fragment:
        # Not repeated in full: it may hold a password.
        raise ValueError(
            f"the URL of the collateral service at {parts.hostname} has more than host, port and "
            "path"
        )
    path = parts.path.rstrip("/")
    for api in _API_PATHS:
        path = path.removesuffix(api)
    if "/certification/v3" in path:
        raise ValueError(f"collateral service {url!r}: version 3 of the API was shut down; use v4")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    where = host if port is None else f"{host}:{port}"
    return f"{parts.scheme}://{where}{percent_encoded(path, safe='/%')}"


def is_loopback(host: str) -> bool:
    """Tell whether a host is this very machine, by its name alone: nothing is looked up."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
