"""The original client's own API, blocking: ``from blindai_async.sync import connect``."""

from blindai_async._pb.proof_files_pb2 import ResponseProof
from blindai_async.proofs import DeleteModelResponse
from blindai_async.sync._connection import Connection, connect, raise_exception_if_conn_closed
from blindai_async.sync._responses import (
    PredictResponse,
    SignedResponse,
    Tensor,
    UploadModelResponse,
)
from blindai_async.tensors import (
    ModelDatumType,
    TensorInfo,
    dtype_to_numpy,
    dtype_to_torch,
    translate_dtype,
    translate_tensors,
)

__all__ = [
    "Connection",
    "DeleteModelResponse",
    "ModelDatumType",
    "PredictResponse",
    "ResponseProof",
    "SignedResponse",
    "Tensor",
    "TensorInfo",
    "UploadModelResponse",
    "connect",
    "dtype_to_numpy",
    "dtype_to_torch",
    "raise_exception_if_conn_closed",
    "translate_dtype",
    "translate_tensors",
]
