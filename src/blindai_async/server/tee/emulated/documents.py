"""JSON documents that the TCB signer signs: what TCB info and QE identity have in common.

Shape: ``{"<member>":{...},"signature":"<128 hex>"}``. The signature covers the bytes of the inner
object exactly as they stand (Provisioning Certification Service API, "Get SGX TCB Info").
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from blindai_async.server.tee.emulated.keys import raw_signature

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from blindai_async.server.tee.emulated.keys import PrivateKey

__all__ = ["SignedDocument", "json_date", "reformatted", "replacing"]


def json_date(moment: datetime) -> str:
    """Write a UTC moment as Intel does, such as ``2022-08-23T09:06:29Z``."""
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def replacing(old: str, new: str) -> Callable[[str], str]:
    """Return an edit of a document's text that replaces the first `old` by `new`.

    The edit raises ValueError where the text lacks `old`, so that a mutation cannot be void.
    """

    def edit(text: str) -> str:
        if old not in text:
            raise ValueError(f"the document has no {old!r}")
        return text.replace(old, new, 1)

    return edit


def reformatted(text: str) -> str:
    """Write a document anew with indentation: the same JSON, other bytes, a void signature."""
    return json.dumps(json.loads(text), indent=1)


@dataclass(frozen=True, kw_only=True)
class SignedDocument(ABC):
    """A document with dates and a signature. Each field is a knob.

    Attributes:
        issue_date: valid from, UTC, in whole seconds.
        next_update: valid until, inclusive.
        signing_key: signs in place of the TCB signer's key: a forgery.
        before_signing: turns the inner object's text into what is signed: well signed nonsense,
            such as duplicate keys. See `replacing`.
        after_signing: turns the whole document into what is handed out: tampering. See
            `replacing` and `reformatted`.
    """

    MEMBER: ClassVar[str]

    issue_date: datetime
    next_update: datetime
    signing_key: PrivateKey | None = field(default=None, repr=False)
    before_signing: Callable[[str], str] | None = None
    after_signing: Callable[[str], str] | None = None
    _signed: dict[PrivateKey, str] = field(
        init=False, repr=False, compare=False, default_factory=dict
    )

    @abstractmethod
    def content(self) -> Mapping[str, object]:
        """Return the inner object, its members in the order in which Intel has them."""

    def text(self, signer: PrivateKey) -> str:
        """Return the whole document, signed. The same document is signed once by a key."""
        key = self.signing_key or signer
        if key not in self._signed:
            self._signed.setdefault(key, self._sign(key))
        return self._signed[key]

    def _sign(self, key: PrivateKey) -> str:
        inner = json.dumps(self.content(), separators=(",", ":"))
        if self.before_signing:
            inner = self.before_signing(inner)
        signature = raw_signature(key, inner.encode()).hex()
        document = f'{{"{self.MEMBER}":{inner},"signature":"{signature}"}}'
        return self.after_signing(document) if self.after_signing else document
