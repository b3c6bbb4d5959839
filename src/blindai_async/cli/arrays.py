"""Tensors in files: .npy, .npz and JSON, in both directions."""

import json
import sys
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from blindai_async.cli.run_command import OperationError
from blindai_async.errors import TensorError
from blindai_async.tensors import (
    Tensor,
    dtype_to_numpy,
    translate_dtype,
    translate_tensors,
)

__all__ = ["read_inputs", "tensor_as_json", "write_outputs"]

Array = npt.NDArray[Any]

STDIN = Path("-")
DEFAULT_DTYPE = "float32"


def read_inputs(paths: Sequence[Path], dtype: str | None) -> list[Array]:
    """The inputs that the files hold, in the order of the files, and of the arrays inside an .npz.

    JSON is one input as a nested list, or `{"inputs": [...]}` with nested lists or objects
    `{"data": ..., "dtype": ..., "shape": ...}`, of which the last two may be left out.

    Args:
        paths: the files; `-` is JSON on stdin.
        dtype: of JSON that does not state its own, float32 where None; arrays are converted to it.

    Raises:
        OperationError: a file that holds something else.
        OSError: a file that cannot be read.
    """
    return [array for path in paths for array in _read(path, dtype)]


def _read(path: Path, dtype: str | None) -> list[Array]:
    if path.suffix not in {".npy", ".npz"}:
        return _read_json(path, dtype)
    try:
        # Pickled objects would run code of the file's author.
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            arrays = [loaded]
        else:
            with loaded:
                arrays = [loaded[name] for name in loaded.files]
    except (ValueError, EOFError, MemoryError, zipfile.BadZipFile, zlib.error) as error:
        raise OperationError(f"{path}: not an array file that NumPy can read: {error}") from error
    if dtype is None:
        return arrays
    return [array.astype(_numpy_dtype(dtype)) for array in arrays]


def _read_json(path: Path, dtype: str | None) -> list[Array]:
    try:
        content = json.loads(sys.stdin.buffer.read() if path == STDIN else path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise OperationError(f"{path}: neither .npy nor .npz, and not JSON: {error}") from error
    inputs = content["inputs"] if isinstance(content, dict) and "inputs" in content else [content]
    if not isinstance(inputs, list):
        raise OperationError(f'{path}: "inputs" has to be a list with one entry an input')
    try:
        return [_array(entry, dtype) for entry in inputs]
    except ValueError as error:
        raise OperationError(f"{path}: this is no tensor: {error}") from error


def _array(entry: Any, dtype: str | None) -> Array:
    if not isinstance(entry, dict):
        entry = {"data": entry}
    if unknown := entry.keys() - {"data", "dtype", "shape", "name"}:
        raise TensorError(f"unknown key {min(unknown)!r}")
    data = entry.get("data")
    if not isinstance(data, list):
        raise TensorError('"data" has to be a list of numbers, nested or with a "shape"')
    shape = entry.get("shape", np.shape(data))
    (tensor,) = translate_tensors([data], [dtype or entry.get("dtype", DEFAULT_DTYPE)], [shape])
    return tensor.array


def _numpy_dtype(name: str) -> np.dtype[Any]:
    try:
        return np.dtype(dtype_to_numpy(translate_dtype(name)))
    except TensorError as error:
        raise OperationError(str(error)) from error


def tensor_as_json(tensor: Tensor) -> dict[str, Any]:
    """A tensor as JSON that `read_inputs` reads again; its data is a nested list."""
    array = tensor.as_numpy()
    return {
        "name": tensor.info.index_name,
        "dtype": array.dtype.name,
        "shape": list(array.shape),
        "data": array.tolist(),
    }


def write_outputs(path: Path, outputs: Sequence[Tensor]) -> None:
    """Write the outputs to an .npy file (one output) or an .npz file (any number).

    In an .npz the outputs have their names; where those are not all there, different and plain,
    they are `output0`, `output1` and so on.

    Raises:
        OperationError: several outputs and .npy.
        OSError: the file cannot be written.
    """
    arrays = [tensor.as_numpy() for tensor in outputs]
    if path.suffix == ".npz":
        named: dict[str, Any] = dict(zip(_names(outputs), arrays, strict=True))
        np.savez(path, **named)
    elif len(arrays) == 1:
        np.save(path, arrays[0])
    else:
        raise OperationError(f"{path}: the model has {len(arrays)} outputs; use .npz")


def _names(outputs: Sequence[Tensor]) -> list[str]:
    names = [tensor.info.index_name for tensor in outputs]
    # The names are the server's words: two alike would hide an output, and `file` is NumPy's own.
    plain = all(name.isidentifier() and name not in {"file", "allow_pickle"} for name in names)
    if plain and len(set(names)) == len(names):
        return names
    return [f"output{i}" for i in range(len(names))]
