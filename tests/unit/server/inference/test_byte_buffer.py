"""Pieces into one buffer, without more memory than came."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blindai_async.server.inference.byte_buffer import ByteBuffer


@given(pieces=st.lists(st.binary(max_size=30), max_size=20), expected=st.integers(0, 2**63))
def test_the_content_is_the_pieces_in_order_whatever_was_announced(pieces, expected):
    buffer = ByteBuffer(expected)
    for count, piece in enumerate(pieces, 1):
        buffer.append(piece)
        assert bytes(buffer.content()) == b"".join(pieces[:count])
        assert len(buffer) == sum(map(len, pieces[:count]))


def test_one_piece_is_kept_as_it_is():
    buffer, piece = ByteBuffer(5), b"piece"
    buffer.append(b"")
    buffer.append(piece)
    buffer.append(b"")
    assert buffer.content() is piece


@pytest.mark.parametrize("came", [1_000, 10_000_000])
def test_what_is_announced_reserves_a_bounded_amount(came):
    tracemalloc.start()
    try:
        buffer = ByteBuffer(2**40)
        buffer.append(bytes(came))
        buffer.append(b"x")
        assert tracemalloc.get_traced_memory()[1] < max(16 * 2**20, 4 * came) + came + 10_000
    finally:
        tracemalloc.stop()


def test_a_full_buffer_is_copied_a_bounded_number_of_times():
    buffer, addresses = ByteBuffer(1_000_000), set()
    for _ in range(10_000):
        buffer.append(bytes(100))
        addresses.add(np.frombuffer(buffer.content(), np.uint8).ctypes.data)
    assert len(addresses) < 20
