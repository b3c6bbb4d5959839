"""Replies that are small and would cost much: refused before they cost more than their size."""

from __future__ import annotations

import time
import tracemalloc

import pytest

from blindai_async import PredictResponse, UploadModelResponse
from blindai_async._wire.protobuf import varint
from blindai_async.errors import ProofFormatError


def field(number, content):
    return varint(number << 3 | 2) + varint(len(content)) + content


def tensor(info):
    return field(1, field(3, field(3, field(1, info))))


BOMBS = {
    "two-byte outputs": field(1, field(3, b"\x1a\x00" * 1_000_000)),
    "empty outputs": field(1, field(3, field(3, field(1, field(1, b"\x00"))) * 500_000)),
    "unknown fields": b"\x78\x00" * 1_000_000,
    "packed dims": tensor(field(1, b"\x01" * 2_000_000)),
    "dims one by one": tensor(b"\x08\x01" * 1_000_000),
    "dims of 2^31": tensor(field(1, varint(2**31 - 1) * 60)),
    "negative dims": tensor(field(1, varint(2**64 - 5) + varint(2**31))),
    "a name of megabytes": tensor(field(4, b"n" * 2_000_000)),
    "a model id of megabytes": field(1, field(3, field(2, b"m" * 2_000_000))),
}


def cost(work):
    """Seconds, and the most bytes that were held at once."""
    tracemalloc.start()
    started = time.perf_counter()
    try:
        work()
        return time.perf_counter() - started, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", BOMBS)
def test_a_prediction_that_declares_too_much_is_refused_at_once(name):
    def read():
        with pytest.raises(ProofFormatError) as caught:
            PredictResponse.from_reply(BOMBS[name], model_id="m")
        assert len(str(caught.value)) < 1500

    seconds, held = cost(read)
    assert held < 4_000_000
    assert seconds < 2


@pytest.mark.parametrize("tensors", [2, 3])
def test_an_answer_to_an_upload_is_not_parsed_when_it_is_far_too_long(tensors):
    reply = field(1, field(2, (bytes([tensors << 3 | 2]) + b"\x00") * 4_000_000))

    def read():
        with pytest.raises(ProofFormatError, match="has 8000"):
            UploadModelResponse.from_reply(
                reply, attestation=None, enclave_signing_key=None, model_hash=None
            )

    seconds, held = cost(read)
    assert held < 1_000_000
    assert seconds < 1


@pytest.mark.parametrize("response", [PredictResponse, UploadModelResponse])
def test_a_proof_file_that_declares_too_much_is_refused_at_once(response):
    payload = field(3 if response is PredictResponse else 2, b"\x1a\x00" * 1_000_000)

    def read():
        with pytest.raises(ProofFormatError):
            response.from_bytes(field(2, payload))

    assert cost(read)[1] < 12_000_000  # three times the file
