"""ONNX Runtime: loading models, checking inputs against them, running them.

Nothing here may be called on the event loop: loading takes seconds, running may.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from blindai_async.errors import TensorError
from blindai_async.server.inference.onnx_safety import refuse_external_data
from blindai_async.server.status_errors import incompatible_input, status_text, unknown
from blindai_async.tensors.dtypes import ModelDatumType, translate_dtype
from blindai_async.tensors.unsupported import unsupported_type

try:
    import onnxruntime as ort
    from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors
except ImportError as _missing:
    raise ModuleNotFoundError(
        "the server needs ONNX Runtime: python -m pip install 'blindai-async[server]'",
        name="onnxruntime",
    ) from _missing

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from blindai_async.server.inference.tensor_assembly import ArrivingTensor

__all__ = ["Inference", "Model", "TensorFact"]

_ORT_TYPES = {
    "tensor(float)": ModelDatumType.F32,
    "tensor(double)": ModelDatumType.F64,
    "tensor(int32)": ModelDatumType.I32,
    "tensor(int64)": ModelDatumType.I64,
    "tensor(uint32)": ModelDatumType.U32,
    "tensor(uint64)": ModelDatumType.U64,
    "tensor(uint8)": ModelDatumType.U8,
    "tensor(uint16)": ModelDatumType.U16,
    "tensor(int8)": ModelDatumType.I8,
    "tensor(int16)": ModelDatumType.I16,
    "tensor(bool)": ModelDatumType.Bool,
}

# How ONNX Runtime words what fails inside of a model, whichever of its exceptions it raises.
_IN_A_NODE = "status code returned while running"

# ONNX Runtime's exceptions have no base of their own. Beside them its binding lets through what
# C++ throws (RuntimeError, MemoryError) and what NumPy says of a result that it cannot hold.
_RUNTIME_ERRORS = (
    ort_errors.EPFail,
    ort_errors.Fail,
    ort_errors.InvalidArgument,
    ort_errors.InvalidGraph,
    ort_errors.InvalidProtobuf,
    ort_errors.NoModel,
    ort_errors.NoSuchFile,
    ort_errors.NotImplemented,
    ort_errors.RuntimeException,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
)


class TensorFact(NamedTuple):
    """An input or output as the model declares it.

    Attributes:
        name: in the graph.
        dims: a number where the model fixes it, None where any size goes. Empty for a scalar and
            for a rank that the model leaves open: ONNX Runtime does not tell the two apart.
        datum_type: the element type.
    """

    name: str
    dims: tuple[int | None, ...]
    datum_type: ModelDatumType


class Model:
    """A loaded model; any number of threads may run it at once.

    Args:
        onnx_file: the whole ONNX file.
        threads: how many threads one inference may use.

    Raises:
        RefusalError: it does not load, refers to other files, or takes or gives what no datum type
            describes.
    """

    def __init__(self, onnx_file: bytes, *, threads: int = 1) -> None:
        refuse_external_data(onnx_file)
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # what is wrong with a peer's model belongs in its status
        # Without this a file in ORT's own format would be taken too, past the check above.
        options.add_session_config_entry("session.load_model_format", "ONNX")
        try:
            self._session = ort.InferenceSession(
                onnx_file, options, providers=["CPUExecutionProvider"]
            )
        except _RUNTIME_ERRORS as error:
            raise unknown(f"The model does not load: {status_text(error)}") from error
        self.inputs: tuple[TensorFact, ...] = _facts("input", self._session.get_inputs())
        self.outputs: tuple[TensorFact, ...] = _facts("output", self._session.get_outputs())
        self._output_names = [fact.name for fact in self.outputs]

    def in_order(self, tensors: Sequence[ArrivingTensor]) -> Sequence[ArrivingTensor]:
        """Put inputs that carry the model's names into its order; others stay as they arrived.

        Raises:
            RefusalError: "Incompatible tensor input: ...", where only some of the names are the
                model's: the order of arrival would be a guess.
        """
        named = {tensor.name: tensor for tensor in tensors if tensor.name}
        known = [fact.name for fact in self.inputs]
        if not named.keys() & set(known) or len(tensors) != len(known):
            return tensors
        if len(named) != len(known) or named.keys() != set(known):
            strangers = sorted(status_text(name) for name in named.keys() - set(known))
            raise incompatible_input(
                f"the model takes {status_text(', '.join(known))}; "
                f"{', '.join(strangers) or 'an input without a name'} came"
            )
        return [named[name] for name in known]

    def check(self, tensors: Sequence[ArrivingTensor]) -> None:
        """Compare inputs with what the model declares, in order.

        Raises:
            RefusalError: "Incompatible tensor input: ...".
        """
        if len(tensors) != len(self.inputs):
            raise incompatible_input(f"the model takes {len(self.inputs)}, {len(tensors)} came")
        for position, (tensor, fact) in enumerate(zip(tensors, self.inputs, strict=True)):
            if tensor.datum_type is not fact.datum_type:
                raise incompatible_input(
                    f"input {position} is {tensor.datum_type.name}, "
                    f"the model takes {fact.datum_type.name}"
                )
            if fact.dims and not _fits(tensor.dims, fact.dims):
                raise incompatible_input(
                    f"input {position} has shape {_shape(tensor.dims)}, "
                    f"the model takes {_shape(fact.dims)}"
                )

    def run(
        self, tensors: Sequence[ArrivingTensor], options: ort.RunOptions
    ) -> list[npt.NDArray[Any]]:
        """Run the model on inputs that `check` let pass."""
        feed = {
            fact.name: tensor.as_array() for fact, tensor in zip(self.inputs, tensors, strict=True)
        }
        try:
            outputs: list[Any] = self._session.run(self._output_names, feed, options)
        except ort_errors.InvalidArgument as error:
            if _IN_A_NODE in str(error):  # a value was wrong, not a dtype or a shape
                raise unknown(f"The inference failed: {status_text(error)}") from error
            raise incompatible_input(status_text(error)) from error
        except _RUNTIME_ERRORS as error:
            raise unknown(f"The inference failed: {status_text(error)}") from error
        return outputs


class Inference:
    """One run of a model, which another thread may stop."""

    __slots__ = ("_model", "_options", "_tensors")

    def __init__(self, model: Model, tensors: Sequence[ArrivingTensor]) -> None:
        tensors = model.in_order(tensors)
        model.check(tensors)
        self._model = model
        self._tensors = tensors
        self._options = ort.RunOptions()

    def run(self) -> list[tuple[TensorFact, npt.NDArray[Any]]]:
        """Run it and pair each output with what the model declares of it.

        Raises:
            RefusalError: the model failed, or gave something that is no tensor of the wire.
        """
        outputs = self._model.run(self._tensors, self._options)
        return [
            (fact._replace(datum_type=_datum_type(fact, output)), output)
            for fact, output in zip(self._model.outputs, outputs, strict=True)
        ]

    def stop(self) -> None:
        """Make `run` fail at the next node of the graph: nobody waits for its result."""
        self._options.terminate = True


def _facts(role: str, declared: Sequence[Any]) -> tuple[TensorFact, ...]:
    facts = []
    for node in declared:
        datum_type = _ORT_TYPES.get(node.type)
        if datum_type is None:
            cannot = unsupported_type(role, status_text(node.name), status_text(node.type))
            raise unknown(f"The model does not load: {cannot}")
        dims = tuple(dim if isinstance(dim, int) and dim >= 0 else None for dim in node.shape)
        facts.append(TensorFact(node.name, dims, datum_type))
    return tuple(facts)


def _fits(dims: tuple[int, ...], declared: tuple[int | None, ...]) -> bool:
    return len(dims) == len(declared) and all(
        want is None or want == have for have, want in zip(dims, declared, strict=True)
    )


def _shape(dims: tuple[int | None, ...]) -> str:
    return "[" + ", ".join("?" if dim is None else str(dim) for dim in dims) + "]"


def _datum_type(fact: TensorFact, output: Any) -> ModelDatumType:
    if not isinstance(output, np.ndarray):
        raise unknown(f"The inference failed: output {status_text(fact.name)!r} has no value")
    try:
        return translate_dtype(output.dtype)
    except TensorError as error:
        raise unknown(f"The inference failed: {status_text(error)}") from error
