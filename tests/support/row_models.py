"""ONNX models whose rows are independent of each other, and models whose rows are not.

Each is serialized, with the shapes of one caller's inputs; the axis of the batch comes first.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from collections.abc import Sequence

_FEATURES, _HIDDEN = 16, 8


class RowModel(NamedTuple):
    """A model for the tests of batching.

    Attributes:
        onnx: the file.
        shapes: of the inputs of one caller with one row.
    """

    onnx: bytes
    shapes: tuple[tuple[int, ...], ...]


def _weights(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32) / 3


def _model(
    nodes: Sequence[Any],
    inputs: dict[str, Sequence[int | str]],
    outputs: dict[str, Sequence[int | str] | None],
    constants: dict[str, np.ndarray] | None = None,
    output_type: int = TensorProto.FLOAT,
) -> bytes:
    graph = helper.make_graph(
        nodes,
        "rows",
        [helper.make_tensor_value_info(k, TensorProto.FLOAT, v) for k, v in inputs.items()],
        [helper.make_tensor_value_info(k, output_type, v) for k, v in outputs.items()],
        [numpy_helper.from_array(array, name) for name, array in (constants or {}).items()],
    )
    opset = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()


def _node(kind: str, inputs: str, outputs: str, **attributes: Any) -> Any:
    names = ["" if name == "-" else name for name in inputs.split()]
    return helper.make_node(kind, names, outputs.split(), **attributes)


def linear(seed: int = 0) -> RowModel:
    """y = x W."""
    nodes = [_node("MatMul", "x w", "y")]
    given, returned = {"x": ["n", _FEATURES]}, {"y": ["n", 4]}
    weights = {"w": _weights(_FEATURES, 4, seed=seed)}
    return RowModel(_model(nodes, given, returned, weights), ((1, _FEATURES),))


def mlp() -> RowModel:
    """Two layers and a softmax."""
    nodes = [
        _node("Gemm", "x w b", "h"),
        _node("Relu", "h", "r"),
        _node("Gemm", "r v c", "z"),
        _node("Softmax", "z", "y", axis=1),
    ]
    constants = {
        "w": _weights(_FEATURES, _HIDDEN),
        "b": _weights(_HIDDEN, seed=1),
        "v": _weights(_HIDDEN, 3, seed=2),
        "c": _weights(3, seed=3),
    }
    onnx = _model(nodes, {"x": ["n", _FEATURES]}, {"y": ["n", 3]}, constants)
    return RowModel(onnx, ((1, _FEATURES),))


def cnn() -> RowModel:
    """A convolution, pooled, and a layer behind it."""
    nodes = [
        _node("Conv", "x k", "h", pads=[1, 1, 1, 1]),
        _node("Relu", "h", "r"),
        _node("GlobalAveragePool", "r", "p"),
        _node("Flatten", "p", "f"),
        _node("Gemm", "f w b", "y"),
    ]
    constants = {
        "k": _weights(4, 2, 3, 3),
        "w": _weights(4, 3, seed=1),
        "b": _weights(3, seed=2),
    }
    onnx = _model(nodes, {"x": ["n", 2, 6, 6]}, {"y": ["n", 3]}, constants)
    return RowModel(onnx, ((1, 2, 6, 6),))


def two_inputs() -> RowModel:
    """y = tanh(a) W - b, and b beside it."""
    nodes = [
        _node("Tanh", "a", "t"),
        _node("MatMul", "t w", "m"),
        _node("Sub", "m b", "y"),
        _node("Identity", "b", "z"),
    ]
    given = {"a": ["n", _FEATURES], "b": ["n", 4]}
    onnx = _model(nodes, given, {"y": ["n", 4], "z": ["n", 4]}, {"w": _weights(_FEATURES, 4)})
    return RowModel(onnx, ((1, _FEATURES), (1, 4)))


def with_state() -> RowModel:
    """A step of a recurrent model, whose state [2, n, features] has the batch on axis 1."""
    nodes = [
        _node("Unsqueeze", "x axes", "u"),
        _node("Add", "state u", "s"),
        _node("ReduceMean", "s", "y", axes=[0], keepdims=0),
    ]
    given = {"x": ["n", 4], "state": [2, "n", 4]}
    returned = {"y": ["n", 4], "s": [2, "n", 4]}
    onnx = _model(nodes, given, returned, {"axes": np.array([0])})
    return RowModel(onnx, ((1, 4), (2, 1, 4)))


def quantised() -> RowModel:
    """The MLP after ONNX Runtime's dynamic quantisation: one scale for the whole batch."""
    from onnxruntime.quantization import quantize_dynamic

    with tempfile.TemporaryDirectory() as directory:
        source, target = Path(directory, "float.onnx"), Path(directory, "int8.onnx")
        source.write_bytes(mlp().onnx)
        quantize_dynamic(source, target)
        return RowModel(target.read_bytes(), ((1, _FEATURES),))


def normalised() -> RowModel:
    """Minus the batch's mean, with a layer before and behind."""
    nodes = [
        _node("MatMul", "x w", "h"),
        _node("ReduceMean", "h", "m", axes=[0], keepdims=1),
        _node("Sub", "h m", "d"),
        _node("Add", "d h", "y"),
    ]
    weights = {"w": _weights(_FEATURES, 4)}
    onnx = _model(nodes, {"x": ["n", _FEATURES]}, {"y": ["n", 4]}, weights)
    return RowModel(onnx, ((1, _FEATURES),))


def _recurrent(kind: str, gates: int) -> RowModel:
    nodes = [
        _node(kind, "x w r", "all last" if kind == "GRU" else "all last cell", hidden_size=_HIDDEN),
        _node("Squeeze", "all axes", "y"),
    ]
    constants = {
        "w": _weights(1, gates * _HIDDEN, 4),
        "r": _weights(1, gates * _HIDDEN, _HIDDEN, seed=1),
        "axes": np.array([1]),
    }
    onnx = _model(nodes, {"x": ["t", "n", 4]}, {"y": ["t", "n", _HIDDEN]}, constants)
    return RowModel(onnx, ((1, 1, 4),))


def gru() -> RowModel:
    """A GRU in the default layout [sequence, batch, feature]."""
    return _recurrent("GRU", 3)


def lstm() -> RowModel:
    """An LSTM in the default layout [sequence, batch, feature]."""
    return _recurrent("LSTM", 4)


def attention() -> RowModel:
    """Every row looks at every row."""
    nodes = [
        _node("Transpose", "x", "t", perm=[1, 0]),
        _node("MatMul", "x t", "scores"),
        _node("Softmax", "scores", "weights", axis=1),
        _node("MatMul", "weights x", "y"),
    ]
    onnx = _model(nodes, {"x": ["n", _FEATURES]}, {"y": ["n", _FEATURES]})
    return RowModel(onnx, ((1, _FEATURES),))


def cumsum() -> RowModel:
    """A running sum over the rows."""
    nodes = [_node("CumSum", "x axis", "y")]
    constants = {"axis": np.array(0)}
    onnx = _model(nodes, {"x": ["n", 4]}, {"y": ["n", 4]}, constants)
    return RowModel(onnx, ((1, 4),))


def top_of_all() -> RowModel:
    """The rows' values sorted over axis 0: TopK with as many as there are rows."""
    nodes = [
        _node("Shape", "x", "shape", start=0, end=1),
        _node("TopK", "x shape", "y indices", axis=0),
    ]
    onnx = _model(nodes, {"x": ["n", 4]}, {"y": ["n", 4]})
    return RowModel(onnx, ((1, 4),))


def threshold(limit: float = 100.0) -> RowModel:
    """Doubles every row as soon as one value of the batch is beyond a limit."""
    nodes = [
        _node("ReduceMax", "x", "most", keepdims=0),
        _node("Greater", "most limit", "beyond"),
        _node("Cast", "beyond", "once", to=TensorProto.FLOAT),
        _node("Add", "once one", "factor"),
        _node("Mul", "x factor", "y"),
    ]
    constants = {"limit": np.float32(limit).reshape(()), "one": np.float32(1).reshape(())}
    constants = {name: np.asarray(value) for name, value in constants.items()}
    onnx = _model(nodes, {"x": ["n", 4]}, {"y": ["n", 4]}, constants)
    return RowModel(onnx, ((1, 4),))


def many_rows(limit: int = 16) -> RowModel:
    """Goes another way for more than so many rows."""
    nodes = [
        _node("Shape", "x", "shape", start=0, end=1),
        _node("Greater", "shape limit", "beyond"),
        _node("Cast", "beyond", "once", to=TensorProto.FLOAT),
        _node("Add", "x once", "y"),
    ]
    onnx = _model(nodes, {"x": ["n", 4]}, {"y": ["n", 4]}, {"limit": np.array([limit])})
    return RowModel(onnx, ((1, 4),))


def argmax_of_quantised() -> RowModel:
    """Nothing but the label of the quantised MLP."""
    import onnx

    model = onnx.load_from_string(quantised().onnx)
    model.graph.node.append(_node("ArgMax", "y", "label", axis=1, keepdims=0))
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info("label", TensorProto.INT64, ["n"]))
    return RowModel(model.SerializeToString(), ((1, _FEATURES),))


def random() -> RowModel:
    """Adds noise: no answer is ever given twice."""
    nodes = [_node("RandomNormalLike", "x", "noise"), _node("Add", "x noise", "y")]
    onnx = _model(nodes, {"x": ["n", 4]}, {"y": ["n", 4]})
    return RowModel(onnx, ((1, 4),))


INDEPENDENT = {"linear": linear, "mlp": mlp, "cnn": cnn, "two_inputs": two_inputs}
DEPENDENT = {
    "with_state": with_state,
    "quantised": quantised,
    "normalised": normalised,
    "gru": gru,
    "lstm": lstm,
    "attention": attention,
    "cumsum": cumsum,
    "top_of_all": top_of_all,
    "threshold": threshold,
    "many_rows": many_rows,
    "argmax_of_quantised": argmax_of_quantised,
}
