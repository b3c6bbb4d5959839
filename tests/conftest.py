"""Fixtures that every test may use: tiny ONNX models, and servers to try them on."""

from __future__ import annotations

from contextlib import AsyncExitStack, ExitStack
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pytest
from fuse_files import FuseFiles, FuseMount, can_mount
from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
    from pathlib import Path

    from blindai_async.server import BlindAIServer

Dims: TypeAlias = "Sequence[int | str | None] | None"


# A slow machine is no failure of the code under test.
settings.register_profile("tests", deadline=None)
settings.load_profile("tests")


class OnnxModels:
    """Builds tiny ONNX models, serialized.

    A dtype is anything NumPy takes for one. In a shape a number is a fixed dimension, text a
    symbolic one, None an unnamed one.
    """

    def identity(self, dtype: Any = "float32", shape: Dims = ("batch", 4)) -> bytes:
        """One input, one output: y = x."""
        return self._graph(
            [("Identity", ["x"], ["y"], {})], [("x", dtype, shape)], [("y", dtype, shape)]
        )

    def add(self, dtype: Any = "float32", shape: Dims = ("batch", 4)) -> bytes:
        """Two inputs: total = a + b."""
        return self._graph(
            [("Add", ["a", "b"], ["total"], {})],
            [("a", dtype, shape), ("b", dtype, shape)],
            [("total", dtype, shape)],
        )

    def subtract_and_swap(self, dtype: Any = "float32", shape: Dims = ("batch", 4)) -> bytes:
        """Two inputs, two outputs, in which order counts: difference = a - b, second = b."""
        return self._graph(
            [("Sub", ["a", "b"], ["difference"], {}), ("Identity", ["b"], ["second"], {})],
            [("a", dtype, shape), ("b", dtype, shape)],
            [("difference", dtype, shape), ("second", dtype, shape)],
        )

    def linear(self, n_in: int, n_out: int, *, batch: int | str = "batch", seed: int = 0) -> bytes:
        """y = x @ `linear_weights(n_in, n_out, seed)`, float32; a number as `batch` fixes it."""
        weights = self.linear_weights(n_in, n_out, seed)
        return self._graph(
            [("MatMul", ["x", "weights"], ["y"], {})],
            [("x", "float32", (batch, n_in))],
            [("y", "float32", (batch, n_out))],
            {"weights": weights},
        )

    def linear_weights(self, n_in: int, n_out: int, seed: int = 0) -> np.ndarray:
        """The weights of `linear`."""
        generator = np.random.default_rng(seed)
        return generator.standard_normal((n_in, n_out), dtype=np.float32)

    def mean_of_all(self, shape: Dims = ("batch", 4)) -> bytes:
        """One number for the whole batch: an output that has not the batch's rows."""
        return self._graph(
            [("ReduceMean", ["x"], ["mean"], {"keepdims": 0})],
            [("x", "float32", shape)],
            [("mean", "float32", ())],
        )

    def filled(self, dtype: Any = "float32") -> bytes:
        """Takes a shape (int64, rank 1) and gives zeros of that shape: small in, large out."""
        value = np.zeros(1, dtype)
        return self._graph(
            [("ConstantOfShape", ["shape"], ["zeros"], {"value": value})],
            [("shape", "int64", ("rank",))],
            [("zeros", dtype, None)],
        )

    def endless(self) -> bytes:
        """Counts to 2^62: runs until it is stopped."""
        helper, proto = self._onnx()
        scalar = {
            name: helper.make_tensor_value_info(name, kind, [])
            for name, kind in (
                ("i", proto.INT64),
                ("go", proto.BOOL),
                ("go_on", proto.BOOL),
                ("n", proto.INT64),
                ("m", proto.INT64),
            )
        }
        body = helper.make_graph(
            [
                helper.make_node("Identity", ["go"], ["go_on"]),
                helper.make_node("Add", ["n", "i"], ["m"]),
            ],
            "body",
            [scalar["i"], scalar["go"], scalar["n"]],
            [scalar["go_on"], scalar["m"]],
        )
        return self._graph(
            [("Loop", ["trips", "", "x"], ["y"], {"body": body})],
            [("x", "int64", ())],
            [("y", "int64", ())],
            {"trips": np.array(2**62, np.int64)},
        )

    def _graph(
        self,
        nodes: Sequence[tuple[str, list[str], list[str], dict[str, Any]]],
        inputs: Sequence[tuple[str, Any, Dims]],
        outputs: Sequence[tuple[str, Any, Dims]],
        initializers: dict[str, np.ndarray] | None = None,
    ) -> bytes:
        helper, _ = self._onnx()
        from onnx import numpy_helper

        def infos(declared: Sequence[tuple[str, Any, Dims]]) -> list[Any]:
            return [
                helper.make_tensor_value_info(
                    name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), shape
                )
                for name, dtype, shape in declared
            ]

        def attribute(value: Any) -> Any:
            return numpy_helper.from_array(value) if isinstance(value, np.ndarray) else value

        graph = helper.make_graph(
            [
                helper.make_node(
                    kind, taken, given, **{key: attribute(it) for key, it in attributes.items()}
                )
                for kind, taken, given, attributes in nodes
            ],
            "test",
            infos(inputs),
            infos(outputs),
            [numpy_helper.from_array(array, name) for name, array in (initializers or {}).items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        return model.SerializeToString()

    @staticmethod
    def _onnx() -> tuple[Any, Any]:
        onnx = pytest.importorskip("onnx")
        from onnx import helper

        return helper, onnx.TensorProto


@pytest.fixture(scope="session")
def onnx_models() -> OnnxModels:
    """Builders of tiny ONNX models."""
    return OnnxModels()


@pytest.fixture
async def start_server() -> AsyncIterator[Callable[..., Awaitable[BlindAIServer]]]:
    """Starts `BlindAIServer`s on free ports; takes the constructor's arguments.

    They are stopped at the test's end. Without arguments: simulation mode, a temporary directory.
    """
    from blindai_async.server import BlindAIServer

    async with AsyncExitStack() as running:

        async def start(**options: Any) -> BlindAIServer:
            ports = {"attested_port": 0, "untrusted_port": 0, "grace": 0.0}
            return await running.enter_async_context(BlindAIServer(**(ports | options)))

        yield start


@pytest.fixture
async def server(start_server: Callable[..., Awaitable[BlindAIServer]]) -> BlindAIServer:
    """A running server in simulation mode, on free ports."""
    return await start_server()


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Callable[[FuseFiles], Path]]:
    """Serves files through the kernel; returns where they are."""
    with ExitStack() as mounts:

        def serve(files: FuseFiles) -> Path:
            path = tmp_path / f"mount{len(list(tmp_path.iterdir()))}"
            path.mkdir()
            if not can_mount(path):
                pytest.skip("this user may not mount file systems through /dev/fuse")
            mounts.enter_context(FuseMount(path, files))
            return path

        yield serve
