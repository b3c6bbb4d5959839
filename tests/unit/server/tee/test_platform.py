"""What a quote commits to."""

from __future__ import annotations

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from blindai_async.server import QuotingPlatform
from blindai_async.server.tee.emulated import EmulatedPlatform
from blindai_async.server.tee.platform import report_data_for


@given(st.binary(), st.binary(min_size=32, max_size=32))
def test_the_halves_commit_to_the_data_and_to_the_nonce(held, nonce):
    data = report_data_for(held, nonce)
    assert data == hashlib.sha256(held).digest() + hashlib.sha256(nonce).digest()


@given(st.binary())
def test_without_a_nonce_the_second_half_is_zeros(held):
    assert report_data_for(held) == hashlib.sha256(held).digest() + bytes(32)


def test_the_emulated_platform_is_a_quoting_platform():
    assert isinstance(EmulatedPlatform("tdx"), QuotingPlatform)
    assert not isinstance(object(), QuotingPlatform)


def test_evidence_commits_to_the_nonce_it_was_asked_with():
    platform = EmulatedPlatform()
    quote = platform.evidence(b"held", nonce=b"n" * 32).quote
    assert quote[48 + 320 : 48 + 384] == report_data_for(b"held", b"n" * 32)
