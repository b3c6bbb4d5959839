"""How report data bind, and when they answer a nonce."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blindai_async.attestation import Binding
from blindai_async.attestation.binding import is_fresh

HALF = bytes(range(32))


@given(st.binary(max_size=64))
def test_only_the_digest_of_the_nonce_in_the_second_half_is_fresh(nonce: bytes) -> None:
    digest = hashlib.sha256(nonce).digest()
    # With no nonce sent, nothing is fresh: also not what answers the empty one.
    assert is_fresh(HALF + digest, nonce) == bool(nonce)
    assert not is_fresh(digest + HALF, nonce)
    assert not is_fresh(HALF + digest, nonce + b"\0")
    assert not is_fresh(HALF + nonce[:32].ljust(32, b"\0"), nonce)


@pytest.mark.parametrize(
    ("binding", "size"), [(Binding.SHA256, 32), (Binding.RAW_32, 32), (Binding.RAW_64, 64)]
)
def test_a_binding_takes_its_part_of_the_report_data(binding: Binding, size: int) -> None:
    data = bytes(range(64))
    assert binding.bound(data) == data[:size]
    assert binding.expected(b"held") == (
        hashlib.sha256(b"held").digest() if binding is Binding.SHA256 else b"held"
    )
