"""Signed answers as proofs: kept as bytes or in a file, and judged again offline."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from google.protobuf.message import DecodeError
from pydantic import BaseModel, ConfigDict, Field

from blindai_async._pb import proof_files_pb2
from blindai_async._wire.evidence import evidence_from_message, evidence_to_message
from blindai_async.attestation import (
    BUILT_IN_POLICY,
    Claims,
    EvidenceVerifier,
    Policy,
    SgxEvidence,
    TrustRoot,
)
from blindai_async.attestation import enclave_signing_key as signing_key_of
from blindai_async.errors import AttestationError, ProofFormatError, SignatureError

if TYPE_CHECKING:
    import os
    from datetime import datetime

__all__ = ["KeptPayload", "SignedResponse", "verify_signature"]


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


class SignedResponse(BaseModel):
    """An answer of the enclave, with what is needed to prove later that the enclave gave it.

    Loading checks the form only. A proof that was kept proves nothing until `validate` of its kind
    (`PredictResponse`, `UploadModelResponse`) has passed.

    Attributes:
        signature: the enclave's Ed25519 signature over `payload`; None or empty if unsigned.
        attestation: the evidence of the enclave that answered; None in simulation mode.
        kept: where the payload lies; read it as `payload`.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, defer_build=True, extra="forbid")

    signature: bytes | None = None
    attestation: SgxEvidence | None = None

    # A field and not a private attribute: pydantic takes thrice as long to make a model with those.
    kept: KeptPayload | None = Field(default=None, exclude=True, repr=False)

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
        self.attestation = (
            evidence_from_message(proof.attestation) if proof.HasField("attestation") else None
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

    def _verify(
        self,
        *,
        policy_file: str | os.PathLike[str] | None,
        policy: Policy | None,
        validate_quote: bool,
        enclave_signing_key: bytes | None,
        allow_simulation_mode: bool,
        trust_root: TrustRoot,
        at: datetime | None,
    ) -> Claims | None:
        """Establish who signed the payload, and that it is signed.

        Raises:
            AttestationError: the evidence is missing, does not hold, or the policy refuses it.
            SignatureError: the payload is not signed, or not by the key that was proven or given.
        """
        payload = self.payload
        if payload is None or not self.signature:
            # An empty signature reads as present in the original client: it accepted such proofs.
            raise SignatureError("the response is not signed: it proves nothing")
        if policy is not None and policy_file is not None:
            raise ValueError("pass policy or policy_file, not both")
        if self.attestation is None:
            if not allow_simulation_mode:
                raise AttestationError(
                    "the response came from a server in simulation mode: nothing proves that an "
                    "enclave gave it; allow_simulation_mode=True accepts that"
                )
            if enclave_signing_key is not None:
                verify_signature(enclave_signing_key, self.signature, payload)
            return None
        claims = None
        if validate_quote:
            if policy is None:
                policy = BUILT_IN_POLICY if policy_file is None else Policy.from_file(policy_file)
            claims = EvidenceVerifier(trust_root).verify(self.attestation, policy, at=at)
            proven_key = signing_key_of(claims.enclave_held_data)
            if enclave_signing_key not in (None, proven_key):
                raise SignatureError("the evidence proves another signing key than the one given")
            enclave_signing_key = proven_key
        elif enclave_signing_key is None:
            raise SignatureError(
                "without its evidence (validate_quote=False) only a key can judge a response: "
                "pass enclave_signing_key="
            )
        verify_signature(enclave_signing_key, self.signature, payload)
        return claims


def verify_signature(
    public_key: bytes | None, signature: bytes, signed: bytes | memoryview
) -> None:
    """Check an Ed25519 signature of the enclave.

    Args:
        public_key: the enclave signing key, 32 raw bytes.
        signature: 64 bytes.
        signed: the bytes that it is said to cover.

    Raises:
        SignatureError: it does not, or the key is not a key.
    """
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - slow to import,
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # noqa: PLC0415 - used rarely
        Ed25519PublicKey,
    )

    if public_key is None:
        raise SignatureError("there is no enclave signing key to check the response with")
    if not signature:
        raise SignatureError("a signed response was asked for, and this one is not signed")
    try:
        key = Ed25519PublicKey.from_public_bytes(public_key)
        key.verify(signature, signed)
    except (InvalidSignature, ValueError) as error:
        raise SignatureError("the response is not signed by this enclave's key") from error
