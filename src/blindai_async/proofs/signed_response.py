"""Signed answers as proofs: kept as bytes or in a file, and judged again offline."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from google.protobuf.message import DecodeError
from pydantic import BaseModel, ConfigDict, Field, SerializationInfo, model_serializer
from pydantic_core import core_schema

from blindai_async._pb import proof_files_pb2
from blindai_async._wire.evidence import evidence_from_message, evidence_to_message
from blindai_async.attestation import SgxEvidence
from blindai_async.errors import ProofFormatError

if TYPE_CHECKING:
    import os

    from pydantic import GetCoreSchemaHandler, SerializerFunctionWrapHandler
    from pydantic_core import CoreSchema

__all__ = ["KeptPayload", "SignedResponse"]


class KeptPayload:
    """A payload where it arrived, as a span of the reply.

    A copy of a large one would cost as much as the transfer.

    Args:
        reply: the bytes that hold it.
        start: where it begins in them.
        stop: where it ends.
    """

    __slots__ = ("_reply", "_start", "_stop")

    def __init__(self, reply: bytes, start: int, stop: int) -> None:
        self._reply, self._start, self._stop = reply, start, stop

    def __bytes__(self) -> bytes:
        return self._reply[self._start : self._stop]

    def __eq__(self, other: object) -> bool:
        return bytes(self) == bytes(other) if isinstance(other, KeptPayload) else NotImplemented

    def __hash__(self) -> int:
        return hash(bytes(self))

    def __reduce__(self) -> tuple[Any, ...]:
        payload = bytes(self)  # the rest of the reply is not worth keeping
        return KeptPayload, (payload, 0, len(payload))

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """In a dump, and on the way back, a payload is its bytes."""
        dumped = core_schema.no_info_after_validator_function(
            lambda payload: cls(payload, 0, len(payload)), core_schema.bytes_schema()
        )
        return core_schema.json_or_python_schema(
            json_schema=dumped,
            python_schema=core_schema.union_schema(
                [core_schema.is_instance_schema(cls), dumped], mode="left_to_right"
            ),
            serialization=core_schema.plain_serializer_function_ser_schema(
                bytes, return_schema=core_schema.bytes_schema()
            ),
        )


class SignedResponse(BaseModel):
    """An answer of the enclave, with what is needed to prove later that the enclave gave it.

    Loading checks the form only. A proof that was kept proves nothing until `validate` of its kind
    (`PredictResponse`, `UploadModelResponse`) has passed.

    Attributes:
        signature: the enclave's Ed25519 signature over `payload`; None or empty if unsigned.
        attestation: the evidence of the enclave that answered; None in simulation mode.
        kept: where the payload lies; read it as `payload`.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(
        defer_build=True,
        extra="forbid",
        populate_by_name=True,
        ser_json_bytes="base64",
        val_json_bytes="base64",
    )

    signature: bytes | None = None
    attestation: SgxEvidence | None = None

    # A field and not a private attribute: pydantic takes thrice as long to make a model with those.
    # Outside, in dumps, it is called what it is read as.
    kept: KeptPayload | None = Field(default=None, alias="payload", repr=False)

    @model_serializer(mode="wrap")
    def _call_it_payload(
        self, dump: SerializerFunctionWrapHandler, info: SerializationInfo
    ) -> dict[str, Any]:
        content: dict[str, Any] = dump(self)
        if "kept" in content:
            payload = content.pop("kept")
            if not (info.exclude and "payload" in info.exclude):
                content["payload"] = payload
        return content

    @property
    def payload(self) -> bytes | None:
        """The answer as the enclave serialized and signed it (a `securedexchange.Payload`)."""
        return None if self.kept is None else bytes(self.kept)

    def is_signed(self) -> bool:
        """Tell whether the answer carries a signature (which `validate` checks, this does not)."""
        return bool(self.signature)

    def is_simulation_mode(self) -> bool:
        """Tell whether the answer came without evidence, so that nothing proves an enclave."""
        return self.attestation is None

    def as_bytes(self) -> bytes:
        """Serialize the response as a proof, byte-compatible with every BlindAI 0.5 client's.

        Raises:
            ProofFormatError: the response holds no payload.
        """
        payload = self.payload
        if payload is None:
            raise ProofFormatError("this response holds no payload; there is nothing to keep")
        evidence = None if self.attestation is None else evidence_to_message(self.attestation)
        proof = proof_files_pb2.ResponseProof(
            attestation=evidence, payload=payload, signature=self.signature or b""
        )
        return proof.SerializeToString()

    def save_to_file(self, path: str | os.PathLike[str]) -> None:
        """Write the response to a proof file, which `load_from_file` reads.

        Raises:
            ProofFormatError: the response holds no payload.
            OSError: the file cannot be written.
        """
        Path(path).write_bytes(self.as_bytes())

    def load_from_bytes(self, b: bytes) -> None:
        """Replace this response by the one serialized in `b`.

        Raises:
            ProofFormatError: not a proof, or one of another kind of response. This response is then
                left as it was.
        """
        try:
            proof = proof_files_pb2.ResponseProof.FromString(bytes(b))
        except DecodeError as error:
            raise ProofFormatError(
                "these bytes are not a response proof, or it is cut off"
            ) from error
        if not proof.payload:
            raise ProofFormatError("this proof holds no payload")
        content = self._read_payload(proof.payload, 0, len(proof.payload))
        self.kept = KeptPayload(proof.payload, 0, len(proof.payload))
        self.signature = proof.signature
        # The original client writes an empty message where it had no evidence.
        self.attestation = (
            evidence_from_message(proof.attestation) if proof.attestation.ByteSize() else None
        )
        for name, value in content.items():
            setattr(self, name, value)

    def load_from_file(self, path: str | os.PathLike[str]) -> None:
        """Replace this response by the one in a proof file.

        Raises:
            ProofFormatError: see `load_from_bytes`; it names the file.
            FileNotFoundError: there is no such file.
        """
        try:
            self.load_from_bytes(Path(path).read_bytes())
        except ProofFormatError as error:
            raise ProofFormatError(f"{path}: {error}") from error

    @classmethod
    def from_bytes(cls, b: bytes) -> Self:
        """Read a response from the bytes of a proof; see `load_from_bytes`."""
        response = cls()
        response.load_from_bytes(b)
        return response

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> Self:
        """Read a response from a proof file; see `load_from_file`."""
        response = cls()
        response.load_from_file(path)
        return response

    @classmethod
    def _read_payload(cls, buffer: bytes, start: int, stop: int) -> dict[str, Any]:  # noqa: ARG003 - a plain response has none
        """Read the fields of this kind of response from the payload at ``buffer[start:stop]``."""
        return {}
