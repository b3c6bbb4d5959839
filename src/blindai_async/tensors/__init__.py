"""Tensors: their eleven datum types, what callers may pass as one, and what replies hold."""

from blindai_async.tensors.dtypes import (
    ModelDatumType,
    dtype_to_numpy,
    dtype_to_torch,
    translate_dtype,
)
from blindai_async.tensors.inputs import InputTensor, translate_tensors
from blindai_async.tensors.tensor import Tensor, TensorInfo

__all__ = [
    "InputTensor",
    "ModelDatumType",
    "Tensor",
    "TensorInfo",
    "dtype_to_numpy",
    "dtype_to_torch",
    "translate_dtype",
    "translate_tensors",
]
