"""Every exception and warning of the package.

::

    BlindAIError
    ├── AttestationError                 the evidence, or what it shows, is not acceptable
    │   ├── IdentityError                  another enclave than the policy's
    │   ├── DebugNotAllowedError           a debug enclave, whose memory its host can read
    │   ├── QuoteValidationError           the evidence itself does not hold
    │   │   ├── NotAnEnclaveError            it does not lead to the hardware's root of trust
    │   │   ├── EnclaveHeldDataError         the quote was made for another certificate
    │   │   └── TcbStatusError               the platform's patch level is not accepted
    │   └── SimulationProofError           (SignatureError) a kept answer came without evidence
    ├── SignatureError                   a signed answer is another one, or not the enclave's
    ├── ProofFormatError                 (ValueError) not a proof file, or a truncated one
    ├── HardwareModeUnsupportedError     evidence was asked of a simulation server
    ├── VersionError                     a server version this client does not speak
    ├── TransportError                   (ConnectionError) the call did not reach a proper answer
    │   ├── DeadlineExceededError          (TimeoutError)
    │   ├── RequestRejectedError           the server answered, and said no
    │   │   ├── ModelNotFoundError           it has no model of this id
    │   │   └── TensorMismatchError          the model takes other inputs
    │   ├── CloudLookupError               the enclave's address could not be looked up
    │   └── CollateralError                fresh collateral could not be had
    ├── ConnectionClosedError            (ValueError) the connection is closed, or was never opened
    ├── TensorError                      (ValueError) an input that has no place on the wire
    └── PolicyFormatError                (ValueError) a policy file that cannot be read

    SecurityWarning (UserWarning)
    ├── SimulationModeWarning            nothing proves that the peer is an enclave
    ├── UnverifiedHostWarning            the host's certificate was taken from the network
    └── UntrustedRootWarning             evidence is judged under a root that is not Intel's

    BatchingWarning (UserWarning)        a model's rows depend on each other: its calls go alone

The builtin bases let existing code go on working: ``except ConnectionError``, ``except ValueError``
and ``except TimeoutError`` catch what their names say. A missing policy, certificate or model file
is the builtin ``FileNotFoundError``. Every error can be pickled, with all its attributes.
"""

from __future__ import annotations

from blindai_async._base_errors import (
    BatchingWarning,
    BlindAIError,
    CloudLookupError,
    CollateralError,
    ConnectionClosedError,
    DeadlineExceededError,
    HardwareModeUnsupportedError,
    ModelNotFoundError,
    PolicyFormatError,
    ProofFormatError,
    RequestRejectedError,
    SecurityWarning,
    SignatureError,
    SimulationModeWarning,
    TensorError,
    TensorMismatchError,
    TransportError,
    UntrustedRootWarning,
    UnverifiedHostWarning,
    VersionError,
)
from blindai_async.attestation.errors import (
    AttestationError,
    DebugNotAllowedError,
    EnclaveHeldDataError,
    IdentityError,
    NotAnEnclaveError,
    QuoteValidationError,
    SimulationProofError,
    TcbStatusError,
)

__all__ = [
    "AttestationError",
    "BatchingWarning",
    "BlindAIError",
    "CloudLookupError",
    "CollateralError",
    "ConnectionClosedError",
    "DeadlineExceededError",
    "DebugNotAllowedError",
    "EnclaveHeldDataError",
    "HardwareModeUnsupportedError",
    "IdentityError",
    "ModelNotFoundError",
    "NotAnEnclaveError",
    "PolicyFormatError",
    "ProofFormatError",
    "QuoteValidationError",
    "RequestRejectedError",
    "SecurityWarning",
    "SignatureError",
    "SimulationModeWarning",
    "SimulationProofError",
    "TcbStatusError",
    "TensorError",
    "TensorMismatchError",
    "TransportError",
    "UntrustedRootWarning",
    "UnverifiedHostWarning",
    "VersionError",
]

# Where users import them from is what tracebacks and pickles name.
for _name in __all__:
    globals()[_name].__module__ = __name__
