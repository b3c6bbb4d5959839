"""What encoding and decoding a tensor costs, against copying its bytes once."""

from __future__ import annotations

import ctypes
import time

import numpy as np

from benchmarks.measuring import Figure, at_most, interleaved
from blindai_async._wire.protobuf import varint
from blindai_async._wire.run_model import read_run_model_payload
from blindai_async._wire.tensor_data import outgoing, request_frames
from blindai_async.tensors import translate_tensors

_SIZE = 100_000_000


async def run(rounds: int = 15) -> list[Figure]:
    """Measure the figures of this file."""
    array = np.random.default_rng(0).random(_SIZE // 4, dtype=np.float32).reshape(1, -1)
    payload = _payload(array)
    target = bytearray(_SIZE)
    destination = (ctypes.c_char * _SIZE).from_buffer(target)

    async def ours() -> float:
        start = time.perf_counter()
        for _ in request_frames([outgoing(translate_tensors(array)[0], 0)], b"", 256 << 10):
            pass  # as gRPC does: a message is dropped once it is sent
        back = read_run_model_payload(payload, 0, len(payload)).outputs[0].as_numpy()
        took = time.perf_counter() - start
        assert back[0, -1] == array[0, -1]
        return took

    async def memcpy() -> float:
        start = time.perf_counter()
        ctypes.memmove(destination, array.ctypes.data, _SIZE)
        return time.perf_counter() - start

    got = await interleaved({"ours": ours, "memcpy": memcpy}, rounds)
    milliseconds = {name: [1000 * seconds for seconds in got[name]] for name in got}
    return [
        at_most(
            "encode + decode of 100 MB",
            "memcpy of the same bytes",
            milliseconds["ours"],
            milliseconds["memcpy"],
            2.5,
            "ms",
        )
    ]


def _payload(array: np.ndarray) -> bytes:
    """A prediction's payload that holds the array."""
    dims = b"".join(map(varint, array.shape))
    info = b"\x0a" + varint(len(dims)) + dims
    data = b"\x0a" + varint(len(info)) + info + b"\x12" + varint(array.nbytes) + array.tobytes()
    run = b"\x1a" + varint(len(data)) + data
    return b"\x1a" + varint(len(run)) + run
