"""From what the caller passed to `connect` to a plan of the handshake: files read, cloud asked."""

from __future__ import annotations

import logging
import os
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from anyio import to_thread

from blindai_async._client.handshake import HandshakePlan
from blindai_async._transport.host_certificate import read_certificate_file
from blindai_async.attestation import BUILT_IN_POLICY, Policy
from blindai_async.errors import SecurityWarning, SimulationModeWarning, UnverifiedHostWarning

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import timedelta

    from grpc.aio import ClientInterceptor
    from pydantic import SecretStr

    from blindai_async._transport.address import ServerAddress
    from blindai_async._transport.channels import ChannelLimits
    from blindai_async._transport.deadline import Deadline
    from blindai_async.attestation import AttestationCache, Claims, TrustRoot
    from blindai_async.collateral import CollateralSource
    from blindai_async.options import RetryPolicy, Timeouts

__all__ = ["ConnectionConfig", "plan_handshake", "warn_of_missing_protection"]

log = logging.getLogger("blindai_async")


@dataclass(frozen=True, slots=True)
class ConnectionConfig:
    """The parameters of `connect` that say whom to connect to, whom to trust and how to go on."""

    address: ServerAddress | None
    server_name: str
    policy: str | os.PathLike[str] | Policy | None
    certificate: str | os.PathLike[str] | None
    simulation: bool
    api_key: SecretStr | None
    trust_root: TrustRoot
    cache: AttestationCache
    limits: ChannelLimits
    timeouts: Timeouts
    retry: RetryPolicy
    reattest: Literal["auto", "never"]
    max_attestation_age: timedelta | None
    on_identity_change: Callable[[Claims, Claims], object] | None
    interceptors: Sequence[ClientInterceptor]
    collateral: CollateralSource | None = None
    require_fresh: bool = False


async def plan_handshake(settings: ConnectionConfig, deadline: Deadline) -> HandshakePlan:
    """Read the files that the settings name and, without an address, ask the cloud for one.

    Raises:
        FileNotFoundError: the policy or certificate file is not there.
        PolicyFormatError: the policy file is not a policy.
        ValueError: the certificate file holds no certificate.
        CloudLookupError: the cloud does not know an enclave.
    """
    address, jwt, policy, certificate = settings.address, None, settings.policy, None
    if address is None:
        from blindai_async._transport.cloud_lookup import lookup_enclave  # noqa: PLC0415 - few look it up

        policy = os.environ.get("MITHRIL_SERVICES_POLICY")
        address, jwt = await lookup_enclave(
            settings.api_key, settings.server_name, deadline, settings.interceptors
        )
    elif settings.certificate is not None and not settings.simulation:
        certificate = await read_certificate_file(settings.certificate)
    return HandshakePlan(
        address=address,
        policy=None if settings.simulation else await _load_policy(policy),
        trust_root=settings.trust_root,
        cache=settings.cache,
        host_certificate=certificate,
        limits=settings.limits,
        jwt=jwt,
        interceptors=settings.interceptors,
        collateral=settings.collateral,
        require_fresh=settings.require_fresh,
    )


async def _load_policy(policy: str | os.PathLike[str] | Policy | None) -> Policy:
    if policy is None:
        return BUILT_IN_POLICY
    if isinstance(policy, Policy):
        return policy
    return await to_thread.run_sync(Policy.from_file, policy)


def warn_of_missing_protection(settings: ConnectionConfig) -> None:
    """Say once, where the connection is made, which protection the caller has done without."""
    if settings.simulation:
        _warn(
            "simulation mode: nothing proves that the server is an enclave, and whoever runs it "
            "reads all models and inputs; never use it in production",
            SimulationModeWarning,
        )
    elif settings.certificate is None and settings.address is not None:
        _warn(
            "no host certificate was given: the untrusted port is not authenticated; the "
            "enclave's evidence is still verified (certificate= takes its host_server.pem)",
            UnverifiedHostWarning,
        )


def _warn(message: str, category: type[SecurityWarning]) -> None:
    log.warning(message, stacklevel=4)
    # 4: past this function, its caller and the constructor, to the line that connects.
    warnings.warn(message, category, stacklevel=4)
