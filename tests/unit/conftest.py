"""Responses as an enclave of our own signs them, and a real proof where there is one."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from blindai_async._pb import proof_files_pb2, untrusted_pb2
from blindai_async._pb import securedexchange_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Sequence

FIXTURES = Path(__file__).parents[3] / "shared" / "fixtures"


class Enclave:
    """Signs answers, honest or not, and makes proofs of them."""

    def __init__(self) -> None:
        self.signer = Ed25519PrivateKey.generate()
        self.key = self.signer.public_key().public_bytes_raw()

    def predicted(
        self,
        outputs: Sequence[np.ndarray] = (),
        *,
        inputs: bytes = b"",
        model_id: str = "m",
        inference_time: int = 3,
    ) -> bytes:
        """A prediction's payload; the outputs are float32."""
        tensors = [
            pb.TensorData(info=pb.TensorInfo(dims=o.shape, index=i), bytes_data=o.tobytes())
            for i, o in enumerate(outputs)
        ]
        payload = pb.RunModelPayload(
            input_hash=sha256(inputs).digest(),
            model_id=model_id,
            output_tensors=tensors,
            inference_time=inference_time,
        )
        return pb.Payload(run_model_payload=payload).SerializeToString()

    def uploaded(self, *, model_hash: bytes = b"", model_id: str = "m") -> bytes:
        """An upload's payload."""
        payload = pb.SendModelPayload(model_hash=model_hash, model_id=model_id)
        return pb.Payload(send_model_payload=payload).SerializeToString()

    def reply(self, payload: bytes, *, sign: bool = True) -> bytes:
        """The reply that carries a payload."""
        signature = self.signer.sign(payload) if sign else b""
        return pb.RunModelReply(payload=payload, signature=signature).SerializeToString()

    def proof(
        self, payload: bytes, *, signature: bytes | None = None, evidence: Any = None
    ) -> bytes:
        """The proof file of a payload; signed unless a signature is given."""
        return proof_files_pb2.ResponseProof(
            payload=payload,
            signature=self.signer.sign(payload) if signature is None else signature,
            attestation=evidence,
        ).SerializeToString()

    @staticmethod
    def evidence(quote: bytes = b"quote") -> untrusted_pb2.GetSgxQuoteWithCollateralReply:
        """Evidence that proves nothing."""
        return untrusted_pb2.GetSgxQuoteWithCollateralReply(
            quote=quote, collateral=untrusted_pb2.SgxCollateral(), enclave_held_data=b"held"
        )


@pytest.fixture(scope="session")
def enclave() -> Enclave:
    """An enclave of our own."""
    return Enclave()


@pytest.fixture(scope="session")
def real_proof() -> bytes:
    """A proof that a real enclave gave."""
    path = FIXTURES / "sgx_hw_predict.proof"
    if not path.is_file():
        pytest.skip("the fixtures of a real enclave are not here")
    return path.read_bytes()


@pytest.fixture(scope="session")
def real_question(real_proof: bytes) -> list[np.ndarray]:
    """The inputs that `real_proof` answers, in their order."""
    with np.load(FIXTURES / "sgx_hw_input.npz") as inputs:
        return [inputs[name] for name in inputs.files]
