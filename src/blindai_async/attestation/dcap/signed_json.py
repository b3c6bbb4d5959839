"""Signed JSON: the object that is interpreted is exactly the bytes that were signed.

Intel signs the inner object of ``{"tcbInfo":{...},"signature":"..."}`` as it stands. A verifier
that checks one span of bytes and interprets another (the second of two equal keys, say) can be
made to accept what was never signed. So the inner object is decoded from its own first character
on, and what the decoder consumed is what the signature must cover. And the text is held to what
Intel writes: ASCII, no escape sequences, no fractions, no key twice.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Any, Final, NamedTuple, NoReturn

from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from blindai_async.attestation.parsing import MAX_JSON_CHARS, EvidenceError, excerpt

__all__ = ["MAX_JSON_NESTING", "SignedObject", "ecdsa_signature", "parse_signed_json"]

MAX_JSON_NESTING: Final = 12
"""How deep arrays and objects may nest; real collateral nests 6 deep."""
_NOT_STRUCTURE: Final = bytes(byte for byte in range(256) if byte not in b'[]{}"')
_BRACES_TO_BRACKETS: Final = bytes.maketrans(b"{}", b"[]")


class SignedObject(NamedTuple):
    """An object of the collateral, decoded, and the very bytes that it was decoded from.

    Attributes:
        content: the decoded object.
        signed_part: the bytes that the signature covers.
        signature: ECDSA, DER.
    """

    content: dict[str, Any]
    signed_part: bytes
    signature: bytes


def ecdsa_signature(raw: bytes) -> bytes:
    """Encode a raw ECDSA signature, 32 bytes r and 32 bytes s, big-endian, as DER."""
    return encode_dss_signature(int.from_bytes(raw[:32]), int.from_bytes(raw[32:]))


def parse_signed_json(text: str, name: str) -> SignedObject:
    """Read ``{"<name>": {...}, "signature": "<128 hex digits>"}``, the two keys in any order.

    Raises:
        EvidenceError: it is anything else, or exceeds a limit.
    """
    _check_text(text)
    before, after = _frame(name)
    head = before.match(text)
    if head is None:
        raise EvidenceError(f"JSON: the text does not begin with the {name}")
    try:
        content, end = _DECODER.raw_decode(text, head.end())
    except ValueError as error:
        raise EvidenceError(f"JSON: {error}") from error
    tail = after.fullmatch(text, end)
    signatures = [match[1] for match in (head, tail) if match is not None and match[1] is not None]
    if tail is None or len(signatures) != 1:
        raise EvidenceError(f"JSON: not just one {name} and its signature of 128 hex digits")
    return SignedObject(
        content,
        text[head.end() : end].encode("ascii"),
        ecdsa_signature(bytes.fromhex(signatures[0])),
    )


@lru_cache(maxsize=4)
def _frame(name: str) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """What may stand before and after the inner object; its own opening brace still follows."""
    blank = "[ \\t\\r\\n]*"
    signature = f'"signature"{blank}:{blank}"([0-9a-fA-F]{{128}})"{blank}'
    return (
        re.compile(f'{blank}{{{blank}(?:{signature},{blank})?"{name}"{blank}:{blank}(?={{)'),
        re.compile(f"{blank}(?:,{blank}{signature})?}}{blank}"),
    )


def _check_text(text: str) -> None:
    if len(text) > MAX_JSON_CHARS:
        raise EvidenceError(f"JSON: more than {MAX_JSON_CHARS} characters")
    # With no escape sequences there is one way to write each key, and quotes come in plain pairs.
    if not text.isascii() or "\\" in text:
        raise EvidenceError("JSON: only ASCII without escape sequences is read")
    # Peel nested pairs off from the inside. A string with a bracket in it leaves its quotes behind
    # and is refused too, so that brackets within strings cannot hide how deep the text nests.
    structure = text.encode("ascii").translate(_BRACES_TO_BRACKETS, _NOT_STRUCTURE)
    structure = structure.replace(b'""', b"")
    for _ in range(MAX_JSON_NESTING):
        structure = structure.replace(b"[]", b"")
    if structure:
        raise EvidenceError(f"JSON: unbalanced, or nested more than {MAX_JSON_NESTING} deep")


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise EvidenceError("an object has one key twice")
    return found


def _no_fraction(text: str) -> NoReturn:
    raise EvidenceError(f"{excerpt(text)} is not a whole number")


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_unique_keys, parse_float=_no_fraction, parse_constant=_no_fraction
)
