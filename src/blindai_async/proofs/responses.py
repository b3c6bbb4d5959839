"""What the three calls return: UploadModelResponse, PredictResponse, DeleteModelResponse."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, ClassVar, Self

from google.protobuf.message import DecodeError
from pydantic import BaseModel, ConfigDict, Field

from blindai_async._pb import securedexchange_pb2
from blindai_async._wire.run_model import (
    read_run_model_payload,
    read_usual_reply,
    split_reply,
)
from blindai_async._wire.tensor_data import array_bytes
from blindai_async.attestation import INTEL_SGX_ROOT, Claims, Policy, SgxEvidence, TrustRoot
from blindai_async.errors import AttestationError, ProofFormatError, SignatureError
from blindai_async.proofs.answers import (
    check_answers,
    check_inputs,
    check_model,
    check_model_hash,
    check_shown,
    check_shown_outputs,
)
from blindai_async.proofs.appraisal import CheckRecorder, ProofAppraisal
from blindai_async.proofs.outputs import NamedOutputs
from blindai_async.proofs.proof_policy import ProofPolicy
from blindai_async.proofs.signature import SigningKey, verify_signature
from blindai_async.proofs.signed_response import KeptPayload, SignedResponse
from blindai_async.proofs.signer import SIGNER_CHECKS, verify_signer
from blindai_async.proofs.upload_payload import (
    check_upload_size,
    read_send_model_payload,
    upload_facts,
)
from blindai_async.specs import TensorSpec
from blindai_async.tensors.inputs import translate_tensors
from blindai_async.tensors.named import in_order
from blindai_async.tensors.tensor import Tensor

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence
    from datetime import datetime

__all__ = ["DeleteModelResponse", "PredictResponse", "UploadModelResponse"]

_SHA256_BYTES = 32


class UploadModelResponse(SignedResponse):
    """The server's answer to an upload.

    Attributes:
        model_id: the id to predict with.
        inputs: of the model, as a signed answer states them; empty where it states none. A 0.5
            server repeats what the upload stated.
        outputs: of the model, likewise.
    """

    model_id: str = ""
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()

    def validate(  # type: ignore[override]  # the API's name; pydantic's own is deprecated
        self,
        model_hash: bytes,
        policy_file: str | os.PathLike[str] | None = None,
        policy: Policy | None = None,
        validate_quote: bool = True,
        enclave_signing_key: SigningKey | None = None,
        allow_simulation_mode: bool = False,
        *,
        trust_root: TrustRoot = INTEL_SGX_ROOT,
        at: datetime | None = None,
    ) -> Claims | None:
        """Judge a kept response: did the proven enclave receive exactly this model?

        Args:
            model_hash: SHA-256 of the whole ONNX file, 32 bytes.
            policy_file: see `ProofPolicy`; so are the others.
            policy: what the enclave has to be.
            validate_quote: verify the evidence.
            enclave_signing_key: the key that must have signed.
            allow_simulation_mode: accept a response without evidence.
            trust_root: where the evidence has to lead.
            at: the time to judge at.

        Returns:
            What the evidence proves; None where it was not verified.

        Raises:
            AttestationError: the evidence is missing, does not hold, or the policy refuses it.
            SignatureError: not signed, signed by another key, or for another model. What came
                without evidence is a `SimulationProofError`, which is both.
            ValueError: `model_hash` is not 32 bytes, or `policy` and `policy_file` were both given.
            FileNotFoundError: there is no such policy file.
        """
        return self.appraise(
            model_hash,
            demands=ProofPolicy(
                policy_file=policy_file,
                policy=policy,
                validate_quote=validate_quote,
                enclave_signing_key=enclave_signing_key,
                allow_simulation_mode=allow_simulation_mode,
                trust_root=trust_root,
                at=at,
            ),
        ).require()

    def appraise(self, model_hash: bytes, *, demands: ProofPolicy) -> ProofAppraisal:
        """Judge a kept response as `validate` does, and tell the outcome of every check.

        Args:
            model_hash: SHA-256 of the whole ONNX file, 32 bytes.
            demands: what the proof has to show.

        Raises:
            ValueError: `model_hash` is not 32 bytes.
            FileNotFoundError: there is no such policy file.
            PolicyFormatError: the policy file is not a policy.
        """
        if len(model_hash) != _SHA256_BYTES:  # an empty one would match a payload that has none
            raise ValueError(f"model_hash has {len(model_hash)} bytes; a SHA-256 digest has 32")
        checks = CheckRecorder([*SIGNER_CHECKS, "model id", "model"])
        try:
            verify_signer(self, demands, checks)
            answer = read_send_model_payload(self.payload or b"")
            facts = upload_facts(answer)
            with checks.check("model id", f"the model is kept as {answer.model_id!r}"):
                check_shown({name: getattr(self, name) for name in facts}, facts)
            with checks.check("model", "its SHA-256 is the payload's"):
                check_model_hash(answer.model_hash, model_hash)
        except (AttestationError, SignatureError, ProofFormatError) as error:
            return checks.appraisal(error)
        return checks.appraisal()

    @classmethod
    def _read_payload(cls, buffer: bytes, start: int, stop: int) -> dict[str, Any]:
        return upload_facts(read_send_model_payload(buffer[start:stop]))

    @classmethod
    def from_reply(
        cls,
        reply: bytes,
        *,
        attestation: SgxEvidence | None,
        enclave_signing_key: bytes | None,
        model_hash: bytes | None,
    ) -> Self:
        """Read, and where `model_hash` is given verify, a serialized `SendModelReply`.

        Raises:
            ProofFormatError: not such a reply.
            SignatureError: see `validate`.
        """
        check_upload_size(reply)
        try:
            message = securedexchange_pb2.SendModelReply.FromString(reply)
        except DecodeError as error:
            raise ProofFormatError("not a SendModelReply") from error
        payload = read_send_model_payload(message.payload)
        if not payload.model_id:
            raise ProofFormatError("the reply does not say under which id the model is kept")
        if model_hash is not None:
            verify_signature(enclave_signing_key, message.signature, message.payload)
            check_model_hash(payload.model_hash, model_hash)
        return cls(
            signature=message.signature,
            attestation=attestation,
            kept=KeptPayload(message.payload, 0, len(message.payload)),
            **upload_facts(payload),
        )


class PredictResponse(SignedResponse):
    """The server's answer to a prediction.

    What a signed one proves: this enclave gave these outputs for these input *bytes* to this model
    id. Not the inputs' shapes or dtypes; and there is no nonce, so that the answer may be a
    recording of an earlier one to the same question.

    Attributes:
        output: the model's outputs, in the model's order. Where the reply named none, they have the
            names that the client knows from the model's upload.
        model_id: the model that was run; in an unsigned answer, the one that was asked for, and ""
            when that is loaded from a file.
        inference_time: milliseconds that the server says it took; 0 where it does not tell.
    """

    output: list[Tensor] = Field(default_factory=list)
    model_id: str = ""
    inference_time: int = 0

    @property
    def outputs(self) -> NamedOutputs:
        """The outputs by the names that the model gives them: ``result.outputs["y"]``."""
        return NamedOutputs(self.output)

    def validate(  # type: ignore[override]  # the API's name; pydantic's own is deprecated
        self,
        model_id: str,
        tensors: Any,
        dtype: Any = None,
        shape: Any = None,
        policy_file: str | os.PathLike[str] | None = None,
        policy: Policy | None = None,
        validate_quote: bool = True,
        enclave_signing_key: SigningKey | None = None,
        allow_simulation_mode: bool = False,
        *,
        trust_root: TrustRoot = INTEL_SGX_ROOT,
        at: datetime | None = None,
    ) -> Claims | None:
        """Judge a kept response: did the proven enclave answer exactly this question with it?

        Args:
            model_id: the model that was asked for.
            tensors: the inputs, as they were passed to `predict`; so are `dtype` and `shape`. A
                mapping counts in its own order, which has to be the model's.
            dtype: see `predict`.
            shape: see `predict`.
            policy_file: see `ProofPolicy`; so are the others.
            policy: what the enclave has to be.
            validate_quote: verify the evidence.
            enclave_signing_key: the key that must have signed.
            allow_simulation_mode: accept a response without evidence.
            trust_root: where the evidence has to lead.
            at: the time to judge at.

        Returns:
            What the evidence proves; None where it was not verified.

        Raises:
            AttestationError: the evidence is missing, does not hold, or the policy refuses it.
            SignatureError: not signed, signed by another key, for another model or other inputs.
                What came without evidence is a `SimulationProofError`, which is both.
            TensorError: `tensors` cannot be what was sent.
            ValueError: `policy` and `policy_file` were both given.
            FileNotFoundError: there is no such policy file.
        """
        return self.appraise(
            model_id,
            tensors,
            dtype,
            shape,
            demands=ProofPolicy(
                policy_file=policy_file,
                policy=policy,
                validate_quote=validate_quote,
                enclave_signing_key=enclave_signing_key,
                allow_simulation_mode=allow_simulation_mode,
                trust_root=trust_root,
                at=at,
            ),
        ).require()

    def appraise(
        self,
        model_id: str,
        tensors: Any,
        dtype: Any = None,
        shape: Any = None,
        *,
        demands: ProofPolicy,
    ) -> ProofAppraisal:
        """Judge a kept response as `validate` does, and tell the outcome of every check.

        Args:
            model_id: see `validate`; so are `tensors`, `dtype` and `shape`.
            tensors: the inputs.
            dtype: of the inputs.
            shape: of the inputs.
            demands: what the proof has to show.

        Raises:
            TensorError: `tensors` cannot be what was sent.
            FileNotFoundError: there is no such policy file.
            PolicyFormatError: the policy file is not a policy.
        """
        digest = hashlib.sha256()
        for tensor in translate_tensors(*in_order(tensors, dtype, shape)):
            digest.update(array_bytes(tensor.array))
        checks = CheckRecorder([*SIGNER_CHECKS, "model id", "inputs", "outputs"])
        try:
            verify_signer(self, demands, checks)
            payload = self.payload or b""
            answer = read_run_model_payload(payload, 0, len(payload))
            with checks.check("model id", f"the answer is of {answer.model_id!r}"):
                check_model(answer, model_id)
            with checks.check("inputs", "the SHA-256 of their bytes is the payload's"):
                check_inputs(answer, digest.digest())
            with checks.check("outputs", "they are what the payload says"):
                check_shown(
                    (self.model_id, self.inference_time), (answer.model_id, answer.inference_time)
                )
                check_shown_outputs(self.output, answer.outputs)
        except (AttestationError, SignatureError, ProofFormatError) as error:
            return checks.appraisal(error)
        return checks.appraisal()

    @classmethod
    def _read_payload(cls, buffer: bytes, start: int, stop: int) -> dict[str, Any]:
        payload = read_run_model_payload(buffer, start, stop)
        return {
            "output": payload.outputs,
            "model_id": payload.model_id,
            "inference_time": payload.inference_time,
        }

    @classmethod
    def from_reply(
        cls,
        reply: bytes,
        *,
        model_id: str,
        attestation: SgxEvidence | None = None,
        enclave_signing_key: bytes | None = None,
        input_hash: bytes | None = None,
    ) -> Self:
        """Read, and where `input_hash` is given verify, a serialized `RunModelReply`.

        The outputs are views of `reply`, which is not copied.

        Args:
            reply: the message as it came.
            model_id: the model that was asked for.
            attestation: the evidence of the enclave behind the channel.
            enclave_signing_key: the key that a signed reply has to be signed by.
            input_hash: SHA-256 of the inputs' bytes; None accepts an unsigned reply.

        Raises:
            ProofFormatError: not such a reply, or an output's bytes do not fit its shape and dtype.
            SignatureError: a signed reply was asked for, and this is not it: see `validate`.
        """
        usual = None if input_hash is not None else read_usual_reply(reply)
        if usual is not None:
            span, payload = usual
            return cls(
                signature=b"",
                attestation=attestation,
                kept=KeptPayload(reply, *span),
                output=payload.outputs,
                model_id=model_id,
                inference_time=payload.inference_time,
            )
        span, signature = split_reply(reply)
        if input_hash is not None:
            verify_signature(enclave_signing_key, signature, memoryview(reply)[slice(*span)])
        payload = read_run_model_payload(reply, *span)
        if input_hash is not None:
            check_answers(payload, model_id, input_hash)
        elif payload.model_id not in ("", model_id):
            raise ProofFormatError("the reply is of another model than the one asked for")
        return cls(
            signature=signature,
            attestation=attestation,
            kept=KeptPayload(reply, *span),
            output=payload.outputs,
            model_id=payload.model_id or model_id,
            inference_time=payload.inference_time,
        )

    def split(self, rows: Sequence[int]) -> list[PredictResponse]:
        """Cut the answer to several callers into each one's own rows.

        The parts hold no payload: what was sent and answered is the whole. Of its memory they hold
        what `Tensor.split` says.

        Args:
            rows: of each caller; together, those of each output.
        """
        outputs = [tensor.split(rows) for tensor in self.output]
        shared = {
            "attestation": self.attestation,
            "model_id": self.model_id,
            "inference_time": self.inference_time,
        }
        # What the constructor does, at two thirds of its cost: this is done for every row.
        make = type(self).__pydantic_validator__.validate_python
        return [
            make({**shared, "output": list(own)})
            for own in (zip(*outputs, strict=True) if outputs else [()] * len(rows))
        ]


class DeleteModelResponse(BaseModel):
    """The server's answer to a deletion: that it came is all it says."""

    model_config: ClassVar[ConfigDict] = ConfigDict(defer_build=True, extra="forbid")
