"""What is demanded of a proof, stated once for every kind of response."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from blindai_async.attestation import BUILT_IN_POLICY, INTEL_SGX_ROOT, Policy, TrustRoot
from blindai_async.proofs.signature import SigningKey, raw_key

if TYPE_CHECKING:
    import os
    from datetime import datetime

__all__ = ["ProofPolicy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofPolicy:
    """What a kept response has to prove; the parameters that both `validate` methods share.

    The defaults demand all there is: evidence that leads to Intel's root now, for the enclave of
    the built-in policy, and a signature by the key that this evidence proves.

    Args:
        policy_file: a policy file, read when the evidence is judged.
        policy: what the enclave has to be. The built-in policy where neither is given; both
            together are refused, since only one of them could count.
        validate_quote: verify the evidence. Without, `enclave_signing_key` alone is trusted.
        enclave_signing_key: the key that must have signed, 32 raw bytes or an `Ed25519PublicKey`;
            where the evidence is verified too, it must prove this very key.
        allow_simulation_mode: accept a response without evidence. Nothing proves then that an
            enclave gave it; its signature is checked only where `enclave_signing_key` is given.
        trust_root: where the evidence has to lead.
        at: the time to judge at, with its time zone; now by default. Never taken from the response,
            whose clock is the host's.

    Raises:
        ValueError: `policy` and `policy_file` were both given.
        TypeError: `enclave_signing_key` is neither bytes nor an `Ed25519PublicKey`.
    """

    policy_file: str | os.PathLike[str] | None = None
    policy: Policy | None = None
    validate_quote: bool = True
    enclave_signing_key: SigningKey | None = None
    allow_simulation_mode: bool = False
    trust_root: TrustRoot = INTEL_SGX_ROOT
    at: datetime | None = None

    def __post_init__(self) -> None:
        if self.policy is not None and self.policy_file is not None:
            raise ValueError("pass policy or policy_file, not both: only one of them could count")
        if self.enclave_signing_key is not None:  # bytes from here on
            object.__setattr__(self, "enclave_signing_key", raw_key(self.enclave_signing_key))

    def enclave_policy(self) -> Policy:
        """The policy on the enclave: the one given, the file's, or the built-in one.

        Raises:
            FileNotFoundError: there is no such policy file.
            PolicyFormatError: the file is not a policy.
        """
        if self.policy_file is not None:
            return Policy.from_file(self.policy_file)
        return BUILT_IN_POLICY if self.policy is None else self.policy
