"""The handshake: version -> evidence -> verify -> pin.

Nothing reaches the attested port before the evidence has been verified and the policy has accepted
it; then only the proven certificate is its root.
"""

from __future__ import annotations

import logging
import re
import secrets
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from blindai_async._printable import printable
from blindai_async._transport.attested_port import AttestedPort
from blindai_async._transport.channels import (
    MAX_UNTRUSTED_REPLY,
    ChannelLimits,
    open_channel,
    wait_until_ready,
)
from blindai_async._transport.host_certificate import (
    fetch_host_certificate,
    pem_from_der,
    why_not_reached,
)
from blindai_async._transport.threads import Purpose, run_in_thread
from blindai_async._transport.untrusted_port import UntrustedPort
from blindai_async._wire.evidence import evidence_from_message
from blindai_async.attestation import EvidenceVerifier, enclave_signing_key
from blindai_async.collateral.sources import fetch_collateral, refetch_collateral
from blindai_async.errors import (
    AttestationError,
    BlindAIError,
    HardwareModeUnsupportedError,
    QuoteValidationError,
    TransportError,
    VersionError,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from grpc.aio import ClientInterceptor
    from pydantic import SecretStr

    from blindai_async._transport.address import ServerAddress
    from blindai_async._transport.deadline import Deadline
    from blindai_async.attestation import (
        AttestationCache,
        Claims,
        Policy,
        SgxEvidence,
        TrustRoot,
    )
    from blindai_async.collateral import CollateralSource

log = logging.getLogger("blindai_async")

_NONCE_BYTES = 32

# What a handshake may find that no further try will mend by itself.
REFUSALS = (AttestationError, HardwareModeUnsupportedError, VersionError)

# What a try to connect may meet: the network, and files that cannot be read now.
FAILURES = (BlindAIError, OSError, ValueError)

# What the reason says where the attested port shows another certificate than the one that was
# proven. The host's certificate, of the untrusted port, may change for other reasons.
CERTIFICATE_CHANGED = "certificate changed: it is not the enclave whose certificate was given"

# Verification steps that look at collateral: a newer one may pass where one from a cache did not.
_COLLATERAL_STEPS = frozenset({2, 3, 4, 5, 6, 8, 10})

_SUPPORTED_VERSION = re.compile(r"0\.5\.[0-9A-Za-z][0-9A-Za-z.+-]{0,30}")


class _SecretMetadata(tuple[tuple[str, str], ...]):
    """Metadata whose values are not shown by a traceback that shows the variables of each frame."""

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(tuple((key, "**********") for key, _ in self))


@dataclass(frozen=True, slots=True)
class HandshakePlan:
    """What the caller demands of the peer, and how to reach it.

    Attributes:
        address: where the server is.
        policy: what the enclave has to be; None in simulation mode, and only there.
        trust_root: where its evidence has to lead.
        cache: remembers verdicts.
        host_certificate: the untrusted port's root, PEM; None takes what the port presents.
        limits: of the attested channel.
        jwt: the token to show with every call.
        interceptors: the caller's, for both channels.
        collateral: where the evidence's collateral is fetched; None takes what the server sends.
        require_fresh: whether the quote has to be made for this handshake's nonce.
    """

    address: ServerAddress
    policy: Policy | None
    trust_root: TrustRoot
    cache: AttestationCache
    host_certificate: bytes | None
    limits: ChannelLimits
    jwt: SecretStr | None = None
    interceptors: Sequence[ClientInterceptor] = field(default=())
    collateral: CollateralSource | None = None
    require_fresh: bool = False

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What goes with every call."""
        if self.jwt is None:
            return ()
        return _SecretMetadata([("accesstoken", self.jwt.get_secret_value())])


@dataclass(frozen=True, slots=True)
class Enclave:
    """The peer behind the attested port, as far as it is known.

    Attributes:
        server_version: what the host says it runs.
        certificate: the enclave's TLS certificate, DER: proven, or in simulation mode only told.
        signing_key: what it signs responses with, 32 raw bytes.
        evidence: what proved it; None in simulation mode.
        claims: what was proven; None in simulation mode.
    """

    server_version: str
    certificate: bytes
    signing_key: bytes
    evidence: SgxEvidence | None = None
    claims: Claims | None = None


async def attest_server(plan: HandshakePlan, deadline: Deadline) -> Enclave:
    """Ask on the untrusted port who the enclave is, and believe only what is proven.

    Raises:
        VersionError: the server is not a 0.5.x.
        HardwareModeUnsupportedError: it has no evidence, and was not allowed to have none.
        AttestationError: its evidence does not hold, or the policy refuses it.
        TransportError: no proper answer came.
    """
    host_certificate = plan.host_certificate
    if host_certificate is None:
        host_certificate = await fetch_host_certificate(plan.address, deadline)
    try:
        return await _attest_server(plan, host_certificate, deadline)
    except TransportError as error:
        if error.code != "UNAVAILABLE":
            raise
        address = plan.address
        why = await why_not_reached(
            address.host,
            address.untrusted_port,
            address.server_name,
            host_certificate,
            "host certificate changed",
        )
        if not why:
            raise
        raise TransportError(
            f"no connection: the untrusted port: {why}",
            code=error.code,
            details=error.details,
        ) from error


async def _attest_server(
    plan: HandshakePlan, host_certificate: bytes, deadline: Deadline
) -> Enclave:
    async with open_channel(
        plan.address.untrusted,
        root_pem=host_certificate,
        server_name=plan.address.server_name,
        limits=ChannelLimits(max_reply_bytes=MAX_UNTRUSTED_REPLY),
        interceptors=plan.interceptors,
    ) as channel:
        port = UntrustedPort(channel, plan.metadata, deadline)
        version = _supported(await port.server_version())
        if plan.policy is None:
            certificate = await port.certificate()
            return Enclave(version, certificate, enclave_signing_key(certificate))
        nonce = secrets.token_bytes(_NONCE_BYTES)
        reply = evidence_from_message(await port.evidence(nonce))
    # Ours in the place of whatever the server put there: a host that replays an old quote would
    # send the nonce that it was made for.
    evidence = reply.model_copy(update={"nonce": nonce})
    if plan.collateral is None:
        return await run_in_thread(Purpose.VERIFY, _proven, plan, plan.policy, version, evidence)
    return await _proven_with(plan.collateral, plan, plan.policy, version, evidence, deadline)


async def _proven_with(
    source: CollateralSource,
    plan: HandshakePlan,
    policy: Policy,
    version: str,
    evidence: SgxEvidence,
    deadline: Deadline,
) -> Enclave:
    """Judge evidence by collateral that was fetched; what the server sent is not looked at."""
    begun = time.monotonic()
    collateral = await fetch_collateral(source, evidence.quote, deadline.remaining())
    evidence = evidence.model_copy(update={"collateral": collateral})
    try:
        return await run_in_thread(Purpose.VERIFY, _proven, plan, policy, version, evidence)
    except QuoteValidationError as error:
        if error.step not in _COLLATERAL_STEPS or deadline.left() <= 0:
            raise
        try:
            newer = await refetch_collateral(source, evidence.quote, deadline.left(), begun)
        except TransportError as unreached:
            # What did not pass is never taken for a fault of the network.
            raise error from unreached
        if newer is None or newer == collateral:
            raise
    evidence = evidence.model_copy(update={"collateral": newer})
    return await run_in_thread(Purpose.VERIFY, _proven, plan, policy, version, evidence)


def _supported(version: str) -> str:
    if not _SUPPORTED_VERSION.fullmatch(version):
        shown = printable(version, 50)
        raise VersionError(
            f"the server's version is {shown!r}; this client speaks to 0.5.x", server_version=shown
        )
    return version


def _proven(plan: HandshakePlan, policy: Policy, version: str, evidence: SgxEvidence) -> Enclave:
    claims = EvidenceVerifier(plan.trust_root, plan.cache).verify(evidence, policy)
    if plan.require_fresh and not claims.fresh:
        raise QuoteValidationError(
            "Enclave held data (step 12): the quote was not made for this handshake's nonce, and "
            "may be an old one; a server that knows no nonce is refused by require_fresh=True",
            step=12,
            claims=claims,
            policy=policy,
        )
    log.debug("the evidence passed")
    # From here on only what the quote vouches for: the claims' own copy, not the reply's.
    certificate = claims.enclave_held_data
    return Enclave(version, certificate, enclave_signing_key(certificate), evidence, claims)


async def open_attested_port(
    plan: HandshakePlan, enclave: Enclave, deadline: Deadline
) -> AttestedPort:
    """Connect to the attested port, with the enclave's certificate as the only root.

    Raises:
        TransportError: nobody answers there, or somebody with another certificate.
    """
    channel = open_channel(
        plan.address.attested,
        root_pem=pem_from_der(enclave.certificate),
        server_name=plan.address.server_name,
        limits=plan.limits,
        interceptors=plan.interceptors,
    )
    try:
        ready = await wait_until_ready(channel, deadline)
    except BaseException:
        await channel.close()
        raise
    if not ready:
        await channel.close()
        why = await _why_unreachable(plan, enclave)
        why = why or f"the attested port: {plan.address.attested}: answers by now"
        raise TransportError(f"no connection: {why}", code="UNAVAILABLE", details=why)
    log.debug("connected to the attested port %s", plan.address.attested)
    return AttestedPort(channel, plan.metadata, plan.interceptors, plan.limits.heartbeat)


async def _why_unreachable(plan: HandshakePlan, enclave: Enclave) -> str:
    """Find out why the attested port is not reached: see `why_not_reached`."""
    address = plan.address
    why = await why_not_reached(
        address.host,
        address.attested_port,
        address.server_name,
        pem_from_der(enclave.certificate),
        CERTIFICATE_CHANGED,
    )
    return f"the attested port: {why}" if why else ""


async def explain_failure(
    error: Exception, plan: HandshakePlan | None, enclave: Enclave | None
) -> str:
    """Say why connecting has failed, on every address; whether another enclave answers by now."""
    reason = str(error)
    if plan is None or enclave is None:
        return reason
    found = await _why_unreachable(plan, enclave)
    return reason if not found or found in reason else f"{reason}; {found}"
