"""What can go wrong between a client and its PCCS, as a description to be put on a path."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Fault"]

_HTML = b"<!doctype html><html><body><h1>Sign in to the network</h1></body></html>"


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One thing wrong with an answer. The class methods are the usual ones; each field is a knob.

    Attributes:
        status: in place of the right one; the body is then empty unless `body` says otherwise.
        headers: added to the right ones, or put in their place.
        body: in place of the right one.
        issuer_chain: PEM in place of the right issuer chain; "" leaves the header out.
        foreign_issuer: whether the issuer chain is that of another platform, well formed.
        stale: whether documents and revocation lists are ones that have expired.
        cut: only so many bytes of the body are sent, then the connection is closed.
        excess: so many bytes follow the body.
        announced: whether the body's length is announced; else it ends with the connection.
        wait: seconds of silence before the answer.
        pause: seconds after each byte of the body.
        reset: whether the connection is reset in place of an answer.
    """

    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    issuer_chain: str | None = None
    foreign_issuer: bool = False
    stale: bool = False
    cut: int | None = None
    excess: int = 0
    announced: bool = True
    wait: float = 0.0
    pause: float = 0.0
    reset: bool = False

    @classmethod
    def not_found(cls) -> Fault:
        """404: the service does not know the platform."""
        return cls(status=404)

    @classmethod
    def gone(cls) -> Fault:
        """410: what was asked for was withdrawn."""
        return cls(status=410)

    @classmethod
    def too_many(cls, retry_after: str | None = "1") -> Fault:
        """429 with `Retry-After`: seconds or an HTTP date, as given; None leaves it out."""
        return cls(status=429, headers={} if retry_after is None else {"Retry-After": retry_after})

    @classmethod
    def truncated(cls, after: int = 100) -> Fault:
        """The connection is closed after some bytes of the announced body."""
        return cls(cut=after)

    @classmethod
    def wrong_issuer(cls) -> Fault:
        """The issuer chain is a sound one of another platform."""
        return cls(foreign_issuer=True)

    @classmethod
    def no_issuer(cls) -> Fault:
        """The header with the issuer chain lacks."""
        return cls(issuer_chain="")

    @classmethod
    def html(cls) -> Fault:
        """200 with a page of HTML, as a proxy that wants a login answers."""
        return cls(status=200, headers={"Content-Type": "text/html"}, body=_HTML)

    @classmethod
    def slow(cls, pause: float = 0.1) -> Fault:
        """The body comes byte by byte."""
        return cls(pause=pause)

    @classmethod
    def silent(cls) -> Fault:
        """No answer comes, and the connection stays open."""
        return cls(wait=float("inf"))

    @classmethod
    def huge(cls, size: int = 2**30, *, announced: bool = True) -> Fault:
        """The body is followed by so many bytes more, as long as somebody reads them."""
        return cls(excess=size, announced=announced)

    @classmethod
    def broken(cls) -> Fault:
        """The connection is reset in place of an answer."""
        return cls(reset=True)

    @classmethod
    def expired(cls) -> Fault:
        """Documents and revocation lists are sound and have expired."""
        return cls(stale=True)
