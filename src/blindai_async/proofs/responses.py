"""What the three calls return: UploadModelResponse, PredictResponse, DeleteModelResponse."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Self

from google.protobuf.message import DecodeError
from pydantic import BaseModel, ConfigDict, Field

from blindai_async._pb import securedexchange_pb2
from blindai_async._wire.run_model import (
    RunModelPayload,
    read_run_model_payload,
    read_usual_reply,
    split_reply,
)
from blindai_async._wire.tensor_data import array_bytes
from blindai_async.attestation import INTEL_SGX_ROOT, DcapClaims, Policy, SgxEvidence, TrustRoot
from blindai_async.errors import ProofFormatError, SignatureError
from blindai_async.proofs.signed_response import KeptPayload, SignedResponse, verify_signature
from blindai_async.tensors.inputs import translate_tensors
from blindai_async.tensors.tensor import Tensor

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence
    from datetime import datetime

__all__ = ["DeleteModelResponse", "PredictResponse", "UploadModelResponse"]

_SHA256_BYTES = 32

# An id, a hash, and the facts of some tensors.
_MAX_UPLOAD_REPLY = 1 << 20


class UploadModelResponse(SignedResponse):
    """The server's answer to an upload.

    Attributes:
        model_id: the id to predict with.
    """

    model_id: str = ""

    def validate(  # type: ignore[override]  # the API's name; pydantic's own is deprecated
        self,
        model_hash: bytes,
        policy_file: str | os.PathLike[str] | None = None,
        policy: Policy | None = None,
        validate_quote: bool = True,
        enclave_signing_key: bytes | None = None,
        allow_simulation_mode: bool = False,
        *,
        trust_root: TrustRoot = INTEL_SGX_ROOT,
        at: datetime | None = None,
    ) -> DcapClaims | None:
        """Judge a kept response: did the proven enclave receive exactly this model?

        Args:
            model_hash: SHA-256 of the whole ONNX file, 32 bytes.
            policy_file: a policy file. The built-in policy where neither is given.
            policy: what the enclave has to be.
            validate_quote: verify the evidence. Without, `enclave_signing_key` alone is trusted.
            enclave_signing_key: the key that must have signed, 32 raw bytes; where the evidence is
                verified too, it must prove this very key.
            allow_simulation_mode: accept a response without evidence. Nothing proves then that an
                enclave gave it; its signature is checked only where `enclave_signing_key` is given.
            trust_root: where the evidence has to lead.
            at: the time to judge at, with its time zone; now by default. Never taken from the
                response, whose clock is the host's.

        Returns:
            What the evidence proves; None where it was not verified.

        Raises:
            AttestationError: the evidence is missing, does not hold, or the policy refuses it.
            SignatureError: not signed, signed by another key, or for another model.
            ValueError: `model_hash` is not 32 bytes.
            FileNotFoundError: there is no such policy file.
        """
        if len(model_hash) != _SHA256_BYTES:  # an empty one would match a payload that has none
            raise ValueError(f"model_hash has {len(model_hash)} bytes; a SHA-256 digest has 32")
        claims = self._verify(
            policy_file=policy_file,
            policy=policy,
            validate_quote=validate_quote,
            enclave_signing_key=enclave_signing_key,
            allow_simulation_mode=allow_simulation_mode,
            trust_root=trust_root,
            at=at,
        )
        answer = _send_model_payload(self.payload or b"")
        if answer.model_hash != bytes(model_hash):
            raise SignatureError("the response is signed, but for another model: the hash differs")
        if answer.model_id != self.model_id:
            raise SignatureError("the response's fields are not what its signed payload says")
        return claims

    @classmethod
    def _read_payload(cls, buffer: bytes, start: int, stop: int) -> dict[str, Any]:
        return {"model_id": _send_model_payload(buffer[start:stop]).model_id}

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
        _check_size(reply)
        try:
            message = securedexchange_pb2.SendModelReply.FromString(reply)
        except DecodeError as error:
            raise ProofFormatError("not a SendModelReply") from error
        payload = _send_model_payload(message.payload)
        if not payload.model_id:
            raise ProofFormatError("the reply does not say under which id the model is kept")
        if model_hash is not None:
            verify_signature(enclave_signing_key, message.signature, message.payload)
            if payload.model_hash != model_hash:
                raise SignatureError("the reply is signed, but for another model: the hash differs")
        return cls(
            signature=message.signature,
            attestation=attestation,
            kept=KeptPayload(message.payload, 0, len(message.payload)),
            model_id=payload.model_id,
        )


class PredictResponse(SignedResponse):
    """The server's answer to a prediction.

    What a signed one proves: this enclave gave these outputs for these input *bytes* to this model
    id. Not the inputs' shapes or dtypes; and there is no nonce, so that the answer may be a
    recording of an earlier one to the same question.

    Attributes:
        output: the model's outputs, in the model's order.
        model_id: the model that was run; in an unsigned answer, the one that was asked for, and ""
            when that is loaded from a file.
        inference_time: milliseconds that the server says it took; 0 where it does not tell.
    """

    output: list[Tensor] = Field(default_factory=list)
    model_id: str = ""
    inference_time: int = 0

    def validate(  # type: ignore[override]  # the API's name; pydantic's own is deprecated
        self,
        model_id: str,
        tensors: Any,
        dtype: Any = None,
        shape: Any = None,
        policy_file: str | os.PathLike[str] | None = None,
        policy: Policy | None = None,
        validate_quote: bool = True,
        enclave_signing_key: bytes | None = None,
        allow_simulation_mode: bool = False,
        *,
        trust_root: TrustRoot = INTEL_SGX_ROOT,
        at: datetime | None = None,
    ) -> DcapClaims | None:
        """Judge a kept response: did the proven enclave answer exactly this question with it?

        Args:
            model_id: the model that was asked for.
            tensors: the inputs, as they were passed to `predict`; so are `dtype` and `shape`.
            dtype: see `predict`.
            shape: see `predict`.
            policy_file: a policy file. The built-in policy where neither is given.
            policy: what the enclave has to be.
            validate_quote: verify the evidence. Without, `enclave_signing_key` alone is trusted.
            enclave_signing_key: the key that must have signed, 32 raw bytes; where the evidence is
                verified too, it must prove this very key.
            allow_simulation_mode: accept a response without evidence. Nothing proves then that an
                enclave gave it; its signature is checked only where `enclave_signing_key` is given.
            trust_root: where the evidence has to lead.
            at: the time to judge at, with its time zone; now by default. Never taken from the
                response, whose clock is the host's.

        Returns:
            What the evidence proves; None where it was not verified.

        Raises:
            AttestationError: the evidence is missing, does not hold, or the policy refuses it.
            SignatureError: not signed, signed by another key, for another model or other inputs.
            TensorError: `tensors` cannot be what was sent.
            FileNotFoundError: there is no such policy file.
        """
        digest = hashlib.sha256()
        for tensor in translate_tensors(tensors, dtype, shape):
            digest.update(array_bytes(tensor.array))
        claims = self._verify(
            policy_file=policy_file,
            policy=policy,
            validate_quote=validate_quote,
            enclave_signing_key=enclave_signing_key,
            allow_simulation_mode=allow_simulation_mode,
            trust_root=trust_root,
            at=at,
        )
        payload = self.payload or b""
        answer = read_run_model_payload(payload, 0, len(payload))
        check_answers(answer, model_id, digest.digest())
        told = (self.output, self.model_id, self.inference_time)
        if (answer.outputs, answer.model_id, answer.inference_time) != told:
            raise SignatureError("the response's fields are not what its signed payload says")
        return claims

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
        """Cut the answer to several callers into each one's own rows, as views.

        The parts hold no payload: what was sent and answered is the whole.

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

    model_config = ConfigDict(defer_build=True, extra="forbid")


def check_answers(payload: RunModelPayload, model_id: str, input_hash: bytes) -> None:
    """Check that a signed payload answers the question that was asked.

    The signature alone stops nobody from handing out another of the enclave's signed answers.

    Raises:
        SignatureError: it is for another model or other inputs.
    """
    if payload.model_id != model_id:
        raise SignatureError(
            f"the response is signed, but for the model {payload.model_id[:100]!r}, "
            f"not {model_id!r}"
        )
    if payload.input_hash != input_hash:
        raise SignatureError("the response is signed, but for other inputs: their hash differs")


def _check_size(reply: bytes) -> None:
    """Refuse what is far too long, before it is parsed: each two bytes may become an object."""
    if len(reply) > _MAX_UPLOAD_REPLY:
        raise ProofFormatError(f"the answer to an upload has {len(reply)} bytes")


def _send_model_payload(payload: bytes) -> securedexchange_pb2.SendModelPayload:
    _check_size(payload)
    try:
        message = securedexchange_pb2.Payload.FromString(payload)
    except DecodeError as error:
        raise ProofFormatError("not a well-formed payload") from error
    if message.WhichOneof("payload") != "send_model_payload":
        raise ProofFormatError("the payload does not speak of an upload")
    return message.send_model_payload
