"""The enclave's answers: verified online, kept as proofs, and judged again offline."""

from blindai_async.proofs.responses import (
    DeleteModelResponse,
    PredictResponse,
    UploadModelResponse,
)
from blindai_async.proofs.signed_response import SignedResponse

__all__ = ["DeleteModelResponse", "PredictResponse", "SignedResponse", "UploadModelResponse"]
