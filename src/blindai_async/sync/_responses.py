"""The answers as the original client gives them: writable arrays, messages as evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from blindai_async import proofs, tensors
from blindai_async._pb.proof_files_pb2 import ResponseProof
from blindai_async._wire.evidence import evidence_from_message, evidence_to_message
from blindai_async.attestation import SgxEvidence

if TYPE_CHECKING:
    import numpy.typing as npt

    from blindai_async._pb.securedexchange_pb2 import RunModelReply
    from blindai_async._pb.untrusted_pb2 import GetSgxQuoteWithCollateralReply
    from blindai_async.proofs.signature import SigningKey


class Evidence(SgxEvidence):
    """Evidence that serializes as the original client's does."""

    def SerializeToString(self) -> bytes:  # noqa: N802 - protobuf's name
        """Serialize to the bytes of a `GetSgxQuoteWithCollateralReply`."""
        return evidence_to_message(self).SerializeToString()


def evidence(given: SgxEvidence | None) -> Evidence | None:
    """Give evidence the original's method."""
    return None if given is None else Evidence.model_construct(**dict(given))


class Tensor(tensors.Tensor):
    """One output of a prediction; its arrays are copies that may be changed."""

    __slots__ = ()

    def as_numpy(self, *, copy: bool = True) -> npt.NDArray[Any]:
        """Copy the elements into a new NumPy array; without `copy`, view them read-only."""
        return super().as_numpy(copy=copy)

    def __reduce__(self) -> tuple[Any, ...]:
        return Tensor, (self.info, self.bytes_data)


class SignedResponse(proofs.SignedResponse):
    """An answer of the enclave that may be kept as a proof."""

    attestation: SgxEvidence | None = None

    def load_from_bytes(self, b: bytes) -> None:
        """Replace this response by the one serialized in `b`.

        Raises:
            ProofFormatError: not a proof, or one of another kind of response.
        """
        super().load_from_bytes(b)
        kept: SgxEvidence | None = evidence(self.attestation)
        self.attestation = kept


class UploadModelResponse(SignedResponse, proofs.UploadModelResponse):
    """The server's answer to an upload."""


class PredictResponse(SignedResponse, proofs.PredictResponse):
    """The server's answer to a prediction.

    Args:
        input_tensors: the inputs that were sent; so are `input_datum_type` and `input_shape`.
        input_datum_type: of each input.
        input_shape: of each input.
        response: the reply as it came; an empty response where None.
        sign: verify that the reply is signed, for these inputs.
        attestation: the evidence of the enclave that answered.
        enclave_signing_key: the key that must have signed, 32 raw bytes.
        allow_simulation_mode: accept a reply without evidence.
        fields: the fields of `blindai_async.PredictResponse`.

    Raises:
        SignatureError: `sign`, and the reply is not this enclave's to this question.
        ProofFormatError: not such a reply.
    """

    def __init__(
        self,
        input_tensors: Any = None,
        input_datum_type: Any = None,
        input_shape: Any = None,
        response: RunModelReply | None = None,
        sign: bool = True,
        attestation: GetSgxQuoteWithCollateralReply | SgxEvidence | None = None,
        enclave_signing_key: SigningKey | None = None,
        allow_simulation_mode: bool = False,
        **fields: Any,
    ) -> None:
        if response is None:
            if attestation is not None and not isinstance(attestation, SgxEvidence):
                attestation = evidence_from_message(attestation)
            super().__init__(attestation=evidence(attestation), **fields)
            return
        super().__init__(**fields)
        if isinstance(attestation, SgxEvidence):
            attestation = evidence_to_message(attestation)
        proof = ResponseProof(
            payload=response.payload, signature=response.signature, attestation=attestation
        )
        self.load_from_bytes(proof.SerializeToString())
        if sign:
            self.validate(
                self.model_id,
                input_tensors,
                input_datum_type,
                input_shape,
                validate_quote=False,
                enclave_signing_key=enclave_signing_key,
                allow_simulation_mode=allow_simulation_mode,
            )

    @classmethod
    def _read_payload(cls, buffer: bytes, start: int, stop: int) -> dict[str, Any]:
        content = super()._read_payload(buffer, start, stop)
        content["output"] = [Tensor(t.info, t.bytes_data) for t in content["output"]]
        return content

    @classmethod
    def wrap(cls, response: proofs.PredictResponse) -> PredictResponse:
        """Give a verified answer the original's form."""
        fields = dict(response)
        fields["attestation"] = evidence(response.attestation)
        fields["output"] = [Tensor(t.info, t.bytes_data) for t in response.output]
        return cls.model_construct(**fields)
