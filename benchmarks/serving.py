"""A server in a process of its own, so that it and the client do not share an interpreter."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_RUN = """
import asyncio, json, sys
from blindai_async.server import BlindAIServer

async def main():
    models = json.loads(sys.argv[1])
    limits = {"max_model_size": 2**30 + 2**20, "max_input_size": 2**30}
    server = BlindAIServer(attested_port=0, untrusted_port=0, grace=0.0, models=models, **limits)
    async with server:
        print(json.dumps([server.attested_port, server.untrusted_port]), flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)

asyncio.run(main())
"""


class Served(NamedTuple):
    """Where the server is.

    Attributes:
        attested_port: for models and predictions.
        untrusted_port: for the handshake.
        pid: of its process.
    """

    attested_port: int
    untrusted_port: int
    pid: int


@asynccontextmanager
async def server() -> AsyncIterator[Served]:
    """Run the embedded server in a child process, with the benchmark's models loaded."""
    with tempfile.TemporaryDirectory() as directory:
        models = {name: str(Path(directory, name)) for name in _MODELS}
        for name, build in _MODELS.items():
            await asyncio.to_thread(Path(models[name]).write_bytes, build())
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            _RUN,
            json.dumps(models),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            assert process.stdout is not None
            line = await asyncio.wait_for(process.stdout.readline(), 60)
            attested, untrusted = json.loads(line)
            yield Served(attested, untrusted, process.pid)
        finally:
            process.kill()
            await process.wait()


def linear() -> bytes:
    """Multiply by a matrix: 64 numbers in, 10 out, any number of rows."""
    from onnx import helper, numpy_helper

    weights = np.random.default_rng(0).standard_normal((64, 10), dtype=np.float32)
    return _model(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        ("batch", 64),
        ("batch", 10),
        [numpy_helper.from_array(weights, "w")],
    )


def first_of_each() -> bytes:
    """One number of each row: large inputs, a small answer, no arithmetic."""
    from onnx import helper, numpy_helper

    bounds = {"starts": 0, "ends": 1, "axes": 1}
    return _model(
        [helper.make_node("Slice", ["x", *bounds], ["y"])],
        ("batch", "n"),
        ("batch", 1),
        [numpy_helper.from_array(np.array([value]), name) for name, value in bounds.items()],
    )


def identity() -> bytes:
    """Gives back what it is given: a large answer."""
    from onnx import helper

    return _model([helper.make_node("Identity", ["x"], ["y"])], ("batch", "n"), ("batch", "n"), [])


def mean_of_image() -> bytes:
    """480 x 480 x 3 numbers in, one out for each image."""
    from onnx import helper

    return _model(
        [helper.make_node("ReduceMean", ["x"], ["y"], axes=[1, 2, 3], keepdims=0)],
        ("batch", 480, 480, 3),
        ("batch",),
        [],
    )


def _model(nodes: list, given: tuple, returned: tuple, constants: list) -> bytes:
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        nodes,
        "benchmark",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, given)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, returned)],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return model.SerializeToString()


_MODELS = {
    "linear": linear,
    "first": first_of_each,
    "identity": identity,
    "image": mean_of_image,
}
