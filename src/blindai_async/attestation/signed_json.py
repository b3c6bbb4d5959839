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
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from blindai_async.attestation.formats import MAX_JSON_CHARS, EvidenceError, excerpt

__all__ = ["MAX_JSON_NESTING", "SignedObject", "ecdsa_signature", "parse_signed_json"]

MAX_JSON_NESTING: Final = 12
"""How deep arrays and objects may nest; real collateral nests 6 deep."""
MAX_INTEGER_DIGITS: Final = 10
"""How many digits a number may have; the largest fields have 32 bits."""

_RAW_SIGNATURE_HEX: Final = re.compile(r"[0-9a-fA-F]{128}")
_WHITE_SPACE: Final = re.compile(r"[ \t\r\n]*")
_NOT_STRUCTURE: Final = bytes(byte for byte in range(256) if byte not in b'[]{}"')
_BRACES_TO_BRACKETS: Final = bytes.maketrans(b"{}", b"[]")


@dataclass(frozen=True, slots=True)
class SignedObject:
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
        EvidenceError: it is anything else, or held to no limit.
    """
    _check_text(text)
    found: dict[str, tuple[Any, int, int]] = {}
    position = _expect(text, _skip(text, 0), "{")
    while True:
        key, position = _decode(text, _skip(text, position))
        position = _skip(text, _expect(text, _skip(text, position), ":"))
        if key not in (name, "signature") or key in found:
            raise EvidenceError(f"JSON: {excerpt(key)} does not belong beside the {name}")
        value, end = _decode(text, position)
        found[key] = value, position, end
        position = _skip(text, end)
        if text[position : position + 1] != ",":
            break
        position += 1
    if _skip(text, _expect(text, position, "}")) != len(text) or len(found) != 2:
        raise EvidenceError(f"JSON: not just one {name} and its signature")
    content, start, end = found[name]
    signature = found["signature"][0]
    if not isinstance(content, dict):
        raise EvidenceError(f"JSON: the {name} is not an object")
    if not isinstance(signature, str) or not _RAW_SIGNATURE_HEX.fullmatch(signature):
        raise EvidenceError("JSON: the signature is not 128 hex digits")
    return SignedObject(
        content, text[start:end].encode("ascii"), ecdsa_signature(bytes.fromhex(signature))
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


def _skip(text: str, position: int) -> int:
    blank = _WHITE_SPACE.match(text, position)
    return blank.end() if blank else position


def _expect(text: str, position: int, character: str) -> int:
    if text[position : position + 1] != character:
        raise EvidenceError(f"JSON: {character} is missing")
    return position + 1


def _decode(text: str, position: int) -> tuple[Any, int]:
    try:
        return _DECODER.raw_decode(text, position)
    except ValueError as error:
        raise EvidenceError(f"JSON: {error}") from error


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise EvidenceError("an object has one key twice")
    return found


def _short_integer(digits: str) -> int:
    if len(digits) > MAX_INTEGER_DIGITS:
        raise EvidenceError(f"a number has more than {MAX_INTEGER_DIGITS} digits")
    return int(digits)


def _no_fraction(text: str) -> NoReturn:
    raise EvidenceError(f"{excerpt(text)} is not a whole number")


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_unique_keys,
    parse_int=_short_integer,
    parse_float=_no_fraction,
    parse_constant=_no_fraction,
)
