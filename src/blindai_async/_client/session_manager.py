"""Keeps a connection's session with the enclave: opened, fresh, renewed after a restart, closed.

A restarted enclave has a new certificate, so that the pinned channel fails its handshake, and gRPC
reports no more than UNAVAILABLE. The text beside it is the network's and decides nothing: whatever
the reason, evidence is fetched and verified as at the start, and only what passes is pinned.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from grpc import ChannelConnectivity

from blindai_async._base_errors import own_instance
from blindai_async._client.config import plan_handshake
from blindai_async._client.evidence_age import EvidenceAge
from blindai_async._client.handshake import (
    CERTIFICATE_CHANGED,
    FAILURES,
    REFUSALS,
    attest_server,
    explain_failure,
    open_attested_port,
)
from blindai_async._client.identity_change import CallbackError, tell_of_change
from blindai_async._client.loop_affinity import LoopAffinity, refuse_after_fork
from blindai_async._client.opening import open_with_patience
from blindai_async._client.recovery import ChannelHealth, PeriodicCheck, Recovery
from blindai_async._client.retiring import RetiringSessions
from blindai_async._client.session_state import Link, SessionState
from blindai_async._client.single_flight import SingleFlight
from blindai_async._client.stream_limiter import StreamLimiter
from blindai_async._transport.deadline import Deadline
from blindai_async.errors import (
    AttestationError,
    BlindAIError,
    ConnectionClosedError,
    TransportError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from blindai_async._client.config import ConnectionConfig
    from blindai_async._client.handshake import Enclave, HandshakePlan
    from blindai_async._client.session import EnclaveSession
    from blindai_async._transport.attested_port import AttestedPort
    from blindai_async.attestation import Claims

log = logging.getLogger("blindai_async")

# Verification is the dearest thing that a peer can make a client do: seconds between two
# re-attestations, and between two that found the same enclave during one outage.
_MIN_INTERVAL = 0.5
_SAME_ENCLAVE_INTERVAL = 2.0


class SessionManager:
    """Hands out a session that may be used here and now, and replaces it when it no longer may.

    Args:
        config: whom to connect to, whom to trust, when to ask again.
        begin: makes a session from a proven enclave and its port.

    Attributes:
        link: whether calls can go out now.
        streams: lends them theirs.
        plan: of the last handshake; None before opening.
        enclave: the peer, also after closing: proofs are judged then, too.
        changes: how often the enclave's identity has changed.
    """

    def __init__(
        self, config: ConnectionConfig, begin: Callable[[Enclave, AttestedPort], EnclaveSession]
    ) -> None:
        self.link = Link(config.on_state_change)
        self.streams = StreamLimiter(config.limits.max_streams)
        self.plan: HandshakePlan | None = None
        self.enclave: Enclave | None = None
        self.changes = 0
        self._config = config
        self._begin = begin
        self._closing = False
        self._affinity: LoopAffinity | None = None
        self._session: EnclaveSession | None = None
        self._proven: Enclave | None = None  # the last one, whether it was connected to or not
        self._refusal: BlindAIError | None = None  # why there is no session any more
        self._opening = SingleFlight(self._open)
        self._failure: BlindAIError | None = None  # of opening
        self._renewal = SingleFlight(self._renew)
        self._recovery = Recovery(self.link, self._try_to_connect)
        self._check = PeriodicCheck(self._check_channel)
        self._health = ChannelHealth()
        self._retiring = RetiringSessions()
        self._age = EvidenceAge(config.max_attestation_age, fetches=config.collateral is not None)
        self._renewed_at = float("-inf")
        self._evidence_interval = _MIN_INTERVAL

    # Opening and closing

    async def open(self) -> None:
        """Shake hands, unless that is done already.

        Raises:
            ConnectionClosedError: it was closed, or gRPC would not survive here.
            BlindAIError: see `connect`. It is closed then.
        """
        if self.link.state is SessionState.CLOSED or self._closing:
            raise ConnectionClosedError("the connection is closed; connect() makes a new one")
        if self.link.state is not SessionState.UNOPENED:
            return
        refuse_after_fork()
        try:
            await self._opening.join(Deadline(float("inf"), "connect"))
        except BlindAIError:
            first, self._failure = self._failure, None
            if first is None:
                raise
            raise first from first.__cause__  # the first who waited gets the error itself
        finally:
            if self.link.state is SessionState.UNOPENED and not self._opening.running:
                self.link.become(SessionState.CLOSED)  # the last who waited was cancelled

    async def _open(self) -> None:
        async def attempt(deadline: Deadline) -> None:
            plan = await plan_handshake(self._config, deadline)
            await self._pin(plan, await attest_server(plan, deadline), deadline)

        timeout, patience = self._config.timeouts.connect, self._config.open_patience
        try:
            await open_with_patience(attempt, timeout, patience)
            self._affinity = LoopAffinity()
            self.link.become(SessionState.UP)
        except BaseException as error:
            self._failure = error if isinstance(error, BlindAIError) else None
            self.link.become(SessionState.CLOSED)
            raise

    def is_open(self) -> bool:
        """Tell whether it is open, in this process."""
        here = self._affinity is not None and self._affinity.is_this_process()
        return here and self.link.state is not SessionState.CLOSED

    def check_usable(self) -> None:
        """Refuse a use of the connection that gRPC would not survive, or not understand.

        Raises:
            ConnectionClosedError: closed, not open yet, in another process or another loop.
        """
        if self._closing or self.link.state is SessionState.CLOSED:
            raise ConnectionClosedError("the connection is closed")
        if self._affinity is None:
            raise ConnectionClosedError("the connection is not open yet: await it first")
        self._affinity.check()

    def begin_closing(self) -> bool:
        """Refuse new calls from now on; tells whether there is anything that `close` has to close.

        After a fork, and after the end of its loop, there is not: gRPC must not be touched then.

        Raises:
            ConnectionClosedError: it is another loop that has to close it.
        """
        if self.link.state is SessionState.CLOSED and not self._closing:
            return False
        affinity = self._affinity
        if affinity is not None and (not affinity.is_this_process() or affinity.is_gone()):
            self.link.state = SessionState.CLOSED
            return False
        if affinity is not None:
            affinity.check()
        self._closing = True
        return True

    async def close(self) -> None:
        """Close every channel, and end whatever is under way, at once."""
        self.link.become(SessionState.CLOSED)
        self._check.stop()
        self._age.early.stop()
        self._recovery.stop()
        await self._opening.stop()
        await self._renewal.stop()
        session, self._session = self._session, None
        if session is not None:
            await session.close()
        await self._retiring.close()

    # The session

    def usable_session(self) -> EnclaveSession | None:
        """The session, where it can be used without waiting for anything."""
        if self.link.state is SessionState.UP and self._age.is_fresh():
            return self._session
        return None

    async def session(self, deadline: Deadline, patience: float) -> EnclaveSession:
        """Hand out the session, as soon as there is one whose evidence holds.

        Raises:
            AttestationError: new evidence does not pass, or may not be asked for.
            TransportError: there is none within `patience` seconds, or by the deadline.
        """
        while True:
            session = self.usable_session()
            if session is not None:
                return session
            state = self.link.state
            if state is SessionState.CLOSED:
                raise ConnectionClosedError("the connection is closed")
            if state is SessionState.DOWN:
                await self.link.wait_for_change(deadline, patience)
                continue
            self._raise_refusal(unless_older_than=_MIN_INTERVAL)
            if self._config.reattest == "never":
                raise AttestationError(
                    "the enclave's evidence has expired; attest() fetches it anew, and so does "
                    'every call with reattest="auto"',
                    claims=None if self.enclave is None else self.enclave.claims,
                )
            try:
                return await self._join_renewal(deadline)
            except TransportError as error:
                if deadline.left() <= 0:
                    raise
                self._become_down(f"no new evidence: {error}")

    async def attest(self) -> Claims:
        """Fetch the evidence anew and verify it; returns what it proves.

        Raises:
            AttestationError: it does not pass; the session is given up.
            TransportError: none came; the session is left as it was.
        """
        session = await self._join_renewal(Deadline(self._config.timeouts.connect, "attest"))
        if session.enclave.claims is None:
            raise AttestationError("the handshake proved nothing")
        return session.enclave.claims

    async def _join_renewal(self, deadline: Deadline) -> EnclaveSession:
        try:
            return await self._renewal.join(deadline)
        except CallbackError as carried:
            raise own_instance(carried.error) from None

    async def _renew(self) -> EnclaveSession:
        """Fetch and verify evidence; pin a new channel where there is reason to."""
        deadline = Deadline(self._config.timeouts.connect, "attest")
        try:
            # Files are read anew each time: whoever operates the client may have changed them.
            plan = await plan_handshake(self._config, deadline)
            enclave = await attest_server(plan, deadline)
        except REFUSALS as refusal:
            self._renewed_at = time.monotonic()
            self._refuse(refusal)
            raise
        self._renewed_at = time.monotonic()
        self._evidence_interval = _SAME_ENCLAVE_INTERVAL
        session = self._session
        if (
            session is None
            or enclave.certificate != session.enclave.certificate
            or not session.is_connected()
        ):
            return await self._pin(plan, enclave, deadline)
        session.enclave = enclave
        self._accept(plan, enclave)
        self._become_up()
        return session

    async def _pin(
        self, plan: HandshakePlan, enclave: Enclave, deadline: Deadline
    ) -> EnclaveSession:
        """Open the channel pinned to a proven enclave, and put it in the place of the old one."""
        self.plan, self._proven = plan, enclave
        port = await open_attested_port(plan, enclave, deadline)
        if self.link.state is SessionState.CLOSED:  # while the channel was being opened
            await port.close()
            raise ConnectionClosedError("the connection was closed")
        known, old = self.enclave, self._session
        session = self._session = self._begin(enclave, port)
        self._accept(plan, enclave)
        self._health.mended()
        self._check.begin(PeriodicCheck.SLOW)
        if old is not None:
            self._retiring.add(old, grace=self._config.timeouts.call)
        try:
            if known is not None and known.certificate != enclave.certificate:
                self.changes += 1
                tell_of_change(known, enclave, self._config.on_identity_change)
        except CallbackError as carried:
            self.link.fail_waiting(carried.error)
            raise
        finally:
            self._become_up()
        return session

    def _accept(self, plan: HandshakePlan, enclave: Enclave) -> None:
        self.plan, self.enclave, self._proven = plan, enclave, enclave
        self._refusal = None
        if enclave.claims is not None:
            self._age.accept(enclave.claims)

    # The link, up and down

    def _become_up(self) -> None:
        """Note that the session can be used."""
        if self.link.state is SessionState.UNOPENED:
            return  # `open` says so itself
        if self.link.state is SessionState.DOWN:
            self.streams.begin_slowly()
        self._recovery.stop()
        self.link.become(SessionState.UP)

    def _become_down(self, reason: str) -> None:
        """Note that no call can go out now, and begin to mend that."""
        if self.link.state is not SessionState.UP:
            return
        self._evidence_interval = _MIN_INTERVAL
        self.link.become(SessionState.DOWN, reason)
        self._recovery.begin()
        self._check.begin(PeriodicCheck.FAST)

    def suspect(self, session: EnclaveSession, lost: str = "") -> None:
        """Look at a channel on which a call broke off; `lost` tells why it is not connected."""
        if session is self._session and lost:
            self._become_down(lost)
        elif session is self._session:
            self._check.begin(0)

    def _check_channel(self) -> float:
        """See how the session's channel stands; returns the seconds until that is to be seen again.

        A peer may end a connection in good order, to have another opened: that is no outage, as
        long as connecting anew does not fail. The channel may also find the same enclave again by
        itself after one.
        """
        session, state = self._session, self.link.state
        if session is None or state not in {SessionState.UP, SessionState.DOWN}:
            return PeriodicCheck.SLOW
        early, auto = self._age.early, self._config.reattest == "auto"
        if auto and not self._renewal.running and early.is_due():
            early.begin(self._renewal.join, self._config.timeouts.connect)
        connectivity = session.connect()
        if connectivity is ChannelConnectivity.READY and state is SessionState.UP:
            self._health.mended()
            return PeriodicCheck.SLOW
        if connectivity is ChannelConnectivity.READY and self._age.is_fresh():
            log.debug("the channel is connected again")
            self._become_up()
        elif state is SessionState.UP and self._health.is_broken(connectivity):
            self._become_down("the connection broke")
        return PeriodicCheck.FAST

    async def _try_to_connect(self) -> str | None:
        """Try once to bring the link up: see `Recovery`."""
        deadline = Deadline(self._config.timeouts.connect, "connect")
        is_due = time.monotonic() - self._renewed_at >= self._evidence_interval
        try:
            if self._config.reattest == "auto" and (is_due or not self._age.is_fresh()):
                await self._renewal.join(deadline)
            elif self.plan is not None and self._proven is not None:
                await self._pin(self.plan, self._proven, deadline)
        except (*REFUSALS, CallbackError):
            return None  # those who waited have been told
        except FAILURES as error:
            reason = await explain_failure(error, self.plan, self._proven)
            if CERTIFICATE_CHANGED in reason:
                self._evidence_interval = _MIN_INTERVAL
            return reason
        return None

    # Sessions that are given up

    def _refuse(self, refusal: BlindAIError) -> None:
        """Drop a session whose enclave can no longer be proven."""
        log.warning("new evidence was refused: %s", refusal)
        self._refusal = refusal
        session, self._session = self._session, None
        self._retiring.cut_short()
        if session is not None:
            self._retiring.add(session, grace=0)
        self.link.become(SessionState.REFUSED, str(refusal))

    def _raise_refusal(self, unless_older_than: float = float("inf")) -> None:
        if self._refusal is not None and time.monotonic() - self._renewed_at < unless_older_than:
            raise own_instance(self._refusal)

    def raise_if_ended(self, error: BaseException) -> None:
        """Say why we have ended a call ourselves: closed, or the enclave refused.

        Raises:
            ConnectionClosedError: `close` was called.
            BlindAIError: the refusal of new evidence.
        """
        if self.link.state is SessionState.CLOSED:
            raise ConnectionClosedError("the connection was closed during the call") from error
        self._raise_refusal()
