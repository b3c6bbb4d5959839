"""The enclave's answers: verified online, kept as proofs, and judged again offline."""

from blindai_async.proofs.appraisal import CheckOutcome, ProofAppraisal, ProofCheck
from blindai_async.proofs.outputs import NamedOutputs
from blindai_async.proofs.proof_policy import ProofPolicy
from blindai_async.proofs.responses import (
    DeleteModelResponse,
    PredictResponse,
    UploadModelResponse,
)
from blindai_async.proofs.signed_response import SignedResponse

__all__ = [
    "CheckOutcome",
    "DeleteModelResponse",
    "NamedOutputs",
    "PredictResponse",
    "ProofAppraisal",
    "ProofCheck",
    "ProofPolicy",
    "SignedResponse",
    "UploadModelResponse",
]
