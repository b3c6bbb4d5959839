"""PEM: whole blocks of one kind, and nothing beside them, in bounded time."""

from __future__ import annotations

import base64
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blindai_async.attestation.parsing import MAX_CHAIN_CHARS, EvidenceError
from blindai_async.attestation.x509.pem import CERTIFICATE, CRL, read_pem


def armour(content: bytes, label: str = CERTIFICATE, end: str = "\n") -> str:
    text = base64.encodebytes(content).decode().replace("\n", end)
    return f"-----BEGIN {label}-----{end}{text}-----END {label}-----{end}"


def read(text: str) -> list[bytes]:
    return read_pem(text, CERTIFICATE, max_chars=MAX_CHAIN_CHARS, max_blocks=4)


@given(
    st.lists(st.binary(min_size=1, max_size=200), min_size=1, max_size=4),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from(["", "\n", " \t\r\n"]),
)
def test_blocks_are_read_in_order(contents: list[bytes], end: str, between: str) -> None:
    text = between + between.join(armour(content, end=end) for content in contents) + between
    assert read(text) == contents


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "text",
        "text\n" + armour(b"x"),
        armour(b"x") + "text",
        armour(b"x") + "text" + armour(b"x"),
        armour(b"x", CRL),
        armour(b"x") + armour(b"x", CRL),
        armour(b"x", "PRIVATE KEY"),
        armour(b"x")[:-12],
        armour(b"x").replace("END", "BEGIN"),
        armour(b"x").replace("=", ""),
        armour(b"x").replace("=", "=="),
        armour(b"x").replace("eA", "e*A"),
        armour(b"x").replace("eA", "e A"),
        armour(b"x").replace("eA", "e\u0410"),
        armour(b"x").replace("eA", "e\ud800A"),
        armour(b"x") * 5,
        armour(b"x") + "\0",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(EvidenceError):
        read(text)


def test_megabytes_are_refused_at_once() -> None:
    start = time.perf_counter()
    for text in (armour(b"x") * 100_000, armour(bytes(8 << 20)), "-----BEGIN " * 1_000_000):
        with pytest.raises(EvidenceError, match="more than"):
            read(text)
    longest = (armour(b"") * MAX_CHAIN_CHARS)[:MAX_CHAIN_CHARS]
    for text in (longest, "\n" * MAX_CHAIN_CHARS, longest[:-1] + "\0"):
        with pytest.raises(EvidenceError):
            read(text)
    assert time.perf_counter() - start < 2


@given(st.text(max_size=300))
def test_arbitrary_text_raises_nothing_else(text: str) -> None:
    for candidate in (text, armour(b"x") + text, armour(b"x").replace("eA", text)):
        try:
            blocks = read(candidate)
        except EvidenceError:
            continue
        assert 1 <= len(blocks) <= 4
