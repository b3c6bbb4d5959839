"""From what the caller passed to `connect` to a plan of the handshake: files read, cloud asked."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from blindai_async._client.arguments import check_seconds
from blindai_async._client.handshake import HandshakePlan
from blindai_async._client.session_state import patience_of
from blindai_async._transport.address import ServerAddress
from blindai_async._transport.channels import ChannelLimits
from blindai_async._transport.host_certificate import read_certificate
from blindai_async._transport.threads import Purpose, run_in_thread
from blindai_async.attestation import BUILT_IN_POLICY, SHARED_CACHE, Policy
from blindai_async.collateral.sources import collateral_source
from blindai_async.errors import SecurityWarning, SimulationModeWarning, UnverifiedHostWarning
from blindai_async.options import RetryPolicy, Timeouts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import timedelta

    from grpc.aio import ClientInterceptor
    from pydantic import SecretStr

    from blindai_async._client.session_state import SessionState, WhenDown
    from blindai_async._transport.deadline import Deadline
    from blindai_async.attestation import AttestationCache, Claims, TrustRoot
    from blindai_async.collateral import CollateralSource
    from blindai_async.collateral.sources import CollateralChoice


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

    @classmethod
    def from_options(
        cls,
        addr: str | None,
        server_name: str,
        ports: tuple[int, int],
        *,
        policy: str | os.PathLike[str] | Policy | None,
        certificate: str | os.PathLike[str] | bytes | None,
        simulation: bool,
        api_key: SecretStr | None,
        timeouts: Timeouts | None,
        retry: RetryPolicy | None,
        when_down: WhenDown,
        wait: float,
        reattest: Literal["auto", "never"],
        max_attestation_age: timedelta | None,
        on_identity_change: Callable[[Claims, Claims], object] | None,
        on_state_change: Callable[[SessionState, SessionState], object] | None,
        trust_root: TrustRoot,
        attestation_cache: AttestationCache | None,
        max_reply_bytes: int,
        interceptors: Sequence[ClientInterceptor],
        collateral: CollateralChoice,
        require_fresh: bool,
    ) -> ConnectionConfig:
        """Read the parameters of `connect`; `ports` are the untrusted and the attested one.

        Raises:
            TypeError: an option of another kind than it takes.
            ValueError: an invalid address, port, URL or option.
        """
        if simulation and require_fresh:
            raise ValueError("require_fresh=True: in simulation mode there is no evidence at all")
        untrusted, attested = ports
        address = None
        if addr is not None:
            address = ServerAddress.parse(
                addr, attested_port=attested, untrusted_port=untrusted, server_name=server_name
            )
        return cls(
            address=address,
            server_name=server_name,
            policy=policy,
            certificate=certificate,
            simulation=simulation,
            api_key=api_key,
            trust_root=trust_root,
            cache=SHARED_CACHE if attestation_cache is None else attestation_cache,
            limits=ChannelLimits(max_reply_bytes=max_reply_bytes),
            timeouts=timeouts or Timeouts(),
            retry=retry or RetryPolicy(),
            patience=patience_of(when_down),
            open_patience=check_seconds("wait", wait),
            reattest=reattest,
            max_attestation_age=max_attestation_age,
            on_identity_change=on_identity_change,
            on_state_change=on_state_change,
            interceptors=tuple(interceptors),
            collateral=collateral_source(collateral),
            require_fresh=require_fresh,
        )


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
