"""The asyncio-native SDK for BlindAI 0.5: confidential inference inside attested SGX enclaves.

::

    async with blindai_async.connect("inference.example", policy="policy.toml") as conn:
        model = await conn.upload_model("model.onnx", sign=True)
        result = await conn.predict(model.model_id, array, sign=True)
        result.output[0].as_numpy()
"""

from typing import TYPE_CHECKING, Any

from blindai_async import errors
from blindai_async._client.session_state import Outage, SessionState
from blindai_async._telemetry.stats import ConnectionStats
from blindai_async._version import __version__
from blindai_async.attestation import AttestationCache, Policy, TrustRoot
from blindai_async.options import Batching, RetryPolicy, Timeouts
from blindai_async.proofs.responses import DeleteModelResponse, PredictResponse, UploadModelResponse
from blindai_async.proofs.signed_response import SignedResponse
from blindai_async.specs import ModelSpec, TensorSpec
from blindai_async.tensors import ModelDatumType, Tensor, TensorInfo

if TYPE_CHECKING:
    from blindai_async._client.connection import AsyncConnection, connect

__all__ = [
    "AsyncConnection",
    "AttestationCache",
    "Batching",
    "ConnectionStats",
    "DeleteModelResponse",
    "ModelDatumType",
    "ModelSpec",
    "Outage",
    "Policy",
    "PredictResponse",
    "RetryPolicy",
    "SessionState",
    "SignedResponse",
    "Tensor",
    "TensorInfo",
    "TensorSpec",
    "Timeouts",
    "TrustRoot",
    "UploadModelResponse",
    "__version__",
    "connect",
    "errors",
]


if not TYPE_CHECKING:  # a checker is to see misspelt names

    def __getattr__(name: str) -> Any:
        # Whoever judges a kept proof needs neither gRPC nor a connection: both are imported by the
        # first who names one of these.
        if name in {"AsyncConnection", "connect"}:
            from blindai_async._client import connection  # noqa: PLC0415

            return getattr(connection, name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
