"""From what the caller passed to `connect` to a plan of the handshake: files read, cloud asked."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from blindai_async._client.handshake import HandshakePlan
from blindai_async._transport.host_certificate import read_certificate
from blindai_async._transport.threads import Purpose, run_in_thread
from blindai_async.attestation import BUILT_IN_POLICY, Policy
from blindai_async.errors import SecurityWarning, SimulationModeWarning, UnverifiedHostWarning
from blindai_async.options import Batching, RetryPolicy, Timeouts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import timedelta

    from grpc.aio import ClientInterceptor
    from pydantic import SecretStr

    from blindai_async._client.session_state import SessionState
    from blindai_async._transport.address import ServerAddress
    from blindai_async._transport.channels import ChannelLimits
    from blindai_async._transport.deadline import Deadline
    from blindai_async.attestation import AttestationCache, Claims, TrustRoot
    from blindai_async.collateral import CollateralSource

# gRPC keeps the size in an int of 32 bits.
_MAX_REPLY_BYTES = 2**31 - 1


@dataclass(frozen=True, slots=True)
class ConnectionConfig:
    """The parameters of `connect` that say whom to connect to, whom to trust and how to go on."""

    address: ServerAddress | None
    server_name: str
    policy: str | os.PathLike[str] | Policy | None
    certificate: str | os.PathLike[str] | bytes | None
    simulation: bool
    api_key: SecretStr | None
    trust_root: TrustRoot
    cache: AttestationCache
    limits: ChannelLimits
    timeouts: Timeouts
    retry: RetryPolicy
    patience: float  # seconds for which a call waits for a link that is down
    open_patience: float  # seconds for which opening is tried again
    reattest: Literal["auto", "never"]
    max_attestation_age: timedelta | None
    on_identity_change: Callable[[Claims, Claims], object] | None
    on_state_change: Callable[[SessionState, SessionState], object] | None
    interceptors: Sequence[ClientInterceptor]
    collateral: CollateralSource | None = None
    require_fresh: bool = False


async def plan_handshake(config: ConnectionConfig, deadline: Deadline) -> HandshakePlan:
    """Read the files that the config names and, without an address, ask the cloud for one.

    Raises:
        FileNotFoundError: the policy or certificate file is not there.
        PolicyFormatError: the policy file is not a policy.
        ValueError: the certificate file holds no certificate.
        CloudLookupError: the cloud does not know an enclave.
    """
    address, jwt, policy, certificate = config.address, None, config.policy, None
    if address is None:
        from blindai_async._transport.cloud_lookup import lookup_enclave  # noqa: PLC0415 - few look it up

        policy = os.environ.get("MITHRIL_SERVICES_POLICY")
        address, jwt = await lookup_enclave(
            config.api_key, config.server_name, deadline, config.interceptors
        )
    elif config.certificate is not None and not config.simulation:
        certificate = await read_certificate(config.certificate)
    return HandshakePlan(
        address=address,
        policy=None if config.simulation else await _load_policy(policy),
        trust_root=config.trust_root,
        cache=config.cache,
        host_certificate=certificate,
        limits=config.limits,
        jwt=jwt,
        interceptors=config.interceptors,
        collateral=config.collateral,
        require_fresh=config.require_fresh,
    )


async def _load_policy(policy: str | os.PathLike[str] | Policy | None) -> Policy:
    if policy is None:
        return BUILT_IN_POLICY
    if isinstance(policy, Policy):
        return policy
    return await run_in_thread(Purpose.FILES, Policy.from_file, policy)


def warn_of_missing_protection(config: ConnectionConfig) -> None:
    """Say once, where the connection is made, which protection the caller has done without."""
    if config.simulation:
        _warn(
            "simulation mode: nothing proves that the server is an enclave, and whoever runs it "
            "reads all models and inputs; never use it in production",
            SimulationModeWarning,
        )
    elif config.certificate is None and config.address is not None:
        _warn(
            "no host certificate was given: the untrusted port is not authenticated; the "
            "enclave's evidence is still verified (certificate= takes its host_server.pem)",
            UnverifiedHostWarning,
        )


def _warn(message: str, category: type[SecurityWarning]) -> None:
    # 4: past this function, its caller and the constructor, to the line that connects.
    warnings.warn(message, category, stacklevel=4)


def check_options(
    timeouts: object,
    batching: object,
    retry: object,
    reattest: object,
    max_reply_bytes: object,
    chunk_size: object,
) -> None:
    """Refuse options of another kind than `connect` takes.

    Raises:
        TypeError: the kind is wrong.
        ValueError: the value is.
    """
    for name, value, model, example in (
        ("timeouts", timeouts, Timeouts, "Timeouts(call=5)"),
        ("batching", batching, Batching, "Batching()"),
        ("retry", retry, RetryPolicy, "RetryPolicy(attempts=3)"),
    ):
        if value is not None and not isinstance(value, model):
            raise TypeError(f"{name} is {value!r}; it takes a {model.__name__}: {name}={example}")
    if reattest not in {"auto", "never"}:
        raise ValueError(f'reattest is {reattest!r}; it takes "auto" or "never"')
    _check_bytes("max_reply_bytes", max_reply_bytes, _MAX_REPLY_BYTES)
    if chunk_size is not None:
        _check_bytes("chunk_size", chunk_size, _MAX_REPLY_BYTES)


def _check_bytes(name: str, value: object, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} is {value!r}; it takes a number of bytes")
    if not 1 <= value <= most:
        raise ValueError(f"{name} is {value}; it takes 1 to {most} bytes")


def check_timeout(timeout: object, name: str = "timeout") -> float:
    """Take a number of seconds, a negative one too: its time is up already.

    Raises:
        TypeError: not a number.
    """
    if not isinstance(timeout, int | float) or timeout != timeout:  # noqa: PLR0124 - NaN
        raise TypeError(f"{name} is {timeout!r}; it takes a number of seconds")
    return timeout


def check_seconds(name: str, seconds: object) -> float:
    """Take a number of seconds, 0 or more.

    Raises:
        TypeError: not a number.
        ValueError: less than 0.
    """
    checked = check_timeout(seconds, name)
    if checked < 0:
        raise ValueError(f"{name} is {seconds!r}; it takes 0 or more seconds")
    return checked


def check_model_id(model_id: object) -> None:
    """Refuse what cannot be a model's id.

    Raises:
        TypeError: not a text.
        ValueError: it is empty, or cannot be sent.
    """
    if not isinstance(model_id, str):
        raise TypeError(f"model_id is a {type(model_id).__name__}; upload_model() returns a str")
    if not model_id:
        raise ValueError("model_id is empty; upload_model() returns the id of a model")
    if not model_id.isascii():
        try:
            model_id.encode()
        except UnicodeEncodeError as error:
            raise ValueError(
                f"model_id {model_id!r} has half of a surrogate pair at {error.start}: it cannot "
                "be sent as UTF-8"
            ) from None
