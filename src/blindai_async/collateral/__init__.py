"""Where fresh collateral comes from: Intel's service, a PCCS, or a directory.

A quote alone proves nothing: what Intel has signed about its platform (certificates, revocation
lists, patch levels) says what it is worth, and until when. A server may send it along; where that
is stale or missing, or where you would rather ask yourself, `connect` takes another source::

    await connect("inference.example", collateral="pcs")                    # Intel's service
    await connect("inference.example", collateral="https://pccs.example")   # a PCCS
    await connect("inference.example", collateral="/etc/blindai/collateral")  # a directory
    await connect("inference.example", collateral=PcsClient(cache_dir="~/.cache/blindai"))

Nothing that is fetched is trusted: the verification looks at it as at all evidence. A service that
is asked learns which family of processors you talk to, and from which address you ask.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from blindai_async.collateral.services import INTEL_PCS_URL
from blindai_async.collateral.sources import CollateralSource

if TYPE_CHECKING:
    from blindai_async.collateral.bundle import CollateralDirectory, read_bundle, write_bundle
    from blindai_async.collateral.pcs_client import PcsClient
    from blindai_async.collateral.summary import PartSummary, summarize

__all__ = [
    "INTEL_PCS_URL",
    "CollateralDirectory",
    "CollateralSource",
    "PartSummary",
    "PcsClient",
    "read_bundle",
    "summarize",
    "write_bundle",
]

# What reads certificates is imported by the first who fetches: the client alone does not need it.
_MODULES = {
    "CollateralDirectory": "bundle",
    "PartSummary": "summary",
    "PcsClient": "pcs_client",
    "read_bundle": "bundle",
    "summarize": "summary",
    "write_bundle": "bundle",
}


if not TYPE_CHECKING:  # a checker is to see misspelt names

    def __getattr__(name: str) -> Any:
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
