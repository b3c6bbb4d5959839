"""Keeps a connection's session with the enclave: opened, fresh, renewed after a restart, closed.

A restarted enclave has a new certificate, so that the pinned channel fails its handshake, and gRPC
reports no more than UNAVAILABLE. The text beside it is the network's and decides nothing: whatever
the reason, evidence is fetched and verified as at the start, and only what passes is pinned.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from blindai_async._client.config import plan_handshake
from blindai_async._client.early_renewal import EarlyRenewal
from blindai_async._client.handshake import HandshakePlan, attest_server, open_attested_port
from blindai_async._client.loop_affinity import LoopAffinity
from blindai_async._client.single_flight import SingleFlight
from blindai_async._transport.deadline import Deadline
from blindai_async.errors import (
    AttestationError,
    BlindAIError,
    ConnectionClosedError,
    HardwareModeUnsupportedError,
    TransportError,
    VersionError,
    own_instance,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from blindai_async._client.config import ConnectionConfig
    from blindai_async._client.handshake import Enclave
    from blindai_async._client.session import EnclaveSession
    from blindai_async._transport.attested_port import AttestedPort

__all__ = ["SessionManager"]

log = logging.getLogger("blindai_async")

# Between two re-attestations that failures ask for: verification is the dearest thing that a peer
# can make a client do.
_MIN_INTERVAL = 0.5

# How long a call that has failed waits for new evidence: with the 20 s in which a dead peer is
# noticed (see `ChannelLimits`), its caller is told within half a minute.
_RECOVERY_TIME = 8.0

# What a renewal may find that no further try will mend by itself.
_REFUSALS = (AttestationError, HardwareModeUnsupportedError, VersionError)


class SessionManager:
    """Hands out a session that may be used here and now, and replaces it when it no longer may.

    Args:
        settings: whom to connect to, whom to trust, when to ask again.
        begin: makes a session from a proven enclave and the port pinned to it.

    Attributes:
        closed: whether `close` was called, or opening failed.
        plan: of the handshake; None before opening.
        enclave: the peer, also after closing: proofs are judged then, too.
        changes: how often the enclave's identity has changed.
    """

    def __init__(
        self,
        settings: ConnectionConfig,
        begin: Callable[[Enclave, AttestedPort], EnclaveSession],
    ) -> None:
        self.closed = False
        self._closing = False
        self.plan: HandshakePlan | None = None
        self.enclave: Enclave | None = None
        self.changes = 0
        self._settings = settings
        self._begin = begin
        self._session: EnclaveSession | None = None
        self._refusal: BlindAIError | None = None  # why there is no session any more
        self._affinity: LoopAffinity | None = None
        self._opening = asyncio.Lock()
        self._renewal = SingleFlight(self._renew)
        self._valid_until = float("inf")  # of the evidence, by the clock on the wall
        self._early = EarlyRenewal()
        self._old_at = float("inf")  # when it has reached the age that the caller allows
        self._tried_at = float("-inf")
        self._early_renewal: asyncio.Task[EnclaveSession] | None = None
        self._retiring: dict[EnclaveSession, asyncio.Task[None]] = {}
        self._ended = asyncio.Event()

    async def open(self) -> None:
        """Shake hands, unless that is done already.

        Raises:
            ConnectionClosedError: it was closed.
            BlindAIError: see `connect`. It is closed then.
        """
        async with self._opening:
            if self.closed:
                raise ConnectionClosedError("the connection is closed; connect() makes a new one")
            if self._affinity is not None:
                return
            deadline = Deadline(self._settings.timeouts.connect, "connect")
            try:
                self.plan = await plan_handshake(self._settings, deadline)
                await self._establish(self.plan, await attest_server(self.plan, deadline), deadline)
            except BaseException:
                self.closed = True
                raise
            self._affinity = LoopAffinity()

    def is_open(self) -> bool:
        """Tell whether it is open, in this process."""
        return not self.closed and self._affinity is not None and self._affinity.is_this_process()

    def check_usable(self) -> None:
        """Refuse a use of the connection that gRPC would not survive, or not understand.

        Raises:
            ConnectionClosedError: closed, not open yet, in another process or another loop.
        """
        if self.closed or self._closing:
            raise ConnectionClosedError("the connection is closed")
        if self._affinity is None:
            raise ConnectionClosedError("the connection is not open yet: await it first")
        self._affinity.check()

    async def session(self, deadline: Deadline) -> EnclaveSession:
        """Hand out the session, attested anew where its evidence has expired or was refused.

        Raises:
            AttestationError: new evidence does not pass, or may not be asked for.
            TransportError: none can be had.
        """
        if self._session is not None and self._is_fresh():
            self._renew_before_expiry()
            return self._session
        if self.closed:
            raise ConnectionClosedError("the connection is closed")
        self._raise_refusal(unless_older_than=_MIN_INTERVAL)
        if self._settings.reattest == "never":
            raise AttestationError(
                "the enclave's evidence has expired; attest() fetches it anew, and so does "
                'every call with reattest="auto"',
                claims=None if self.enclave is None else self.enclave.claims,
            )
        return await self._renewal.join(deadline)

    async def recover(self, broken: EnclaveSession, deadline: Deadline) -> None:
        """See whether the enclave is another one after a failure, and go on with it if it may be.

        One caller asks, however many have failed; the others wait for what it finds.

        Raises:
            AttestationError: there is new evidence, and it does not pass. All callers get this.
        """
        if self.enclave is None or self.enclave.claims is None:
            return  # in simulation mode another certificate can be anybody's: it is not taken
        self._raise_refusal()
        if self._session is not broken or self._settings.reattest == "never":
            return
        if not self._renewal.running and time.monotonic() - self._tried_at < _MIN_INTERVAL:
            return
        try:
            await self._renewal.join(deadline.at_most(_RECOVERY_TIME))
        except TransportError as error:
            log.debug("no new evidence yet: %s", error)

    async def attest(self) -> Enclave:
        """Fetch the evidence anew and verify it.

        Raises:
            AttestationError: it does not pass; the session is given up.
            TransportError: none came; the session is left as it was.
        """
        session = await self._renewal.join(Deadline(self._settings.timeouts.connect, "attest"))
        return session.enclave

    async def _renew(self) -> EnclaveSession:
        """Fetch and verify evidence; pin a new channel where there is reason to."""
        if self.plan is None or self.enclave is None:
            raise ConnectionClosedError("the connection is not open yet: await it first")
        self._tried_at = time.monotonic()
        deadline = Deadline(self._settings.timeouts.connect, "attest")
        known = self.enclave
        try:
            enclave = await attest_server(self.plan, deadline)
        except _REFUSALS as refusal:
            self._give_up(refusal)
            raise
        changed = enclave.certificate != known.certificate
        session = self._session
        if session is None or changed or not session.is_connected():
            session = await self._establish(self.plan, enclave, deadline)
        else:
            session.enclave = enclave
            self._accept(enclave)
        if changed:
            self._announce(known, enclave)
        return session

    async def _establish(
        self, plan: HandshakePlan, enclave: Enclave, deadline: Deadline
    ) -> EnclaveSession:
        """Open the channel pinned to a proven enclave, and put it in the place of the old one."""
        port = await open_attested_port(plan, enclave, deadline)
        if self.closed:  # by `close`, while the channel was being opened
            await port.close()
            raise ConnectionClosedError("the connection was closed")
        old, self._session = self._session, self._begin(enclave, port)
        if old is not None:
            self._retire(old, grace=self._settings.timeouts.call)
        self._accept(enclave)
        return self._session

    def _renew_before_expiry(self) -> None:
        """Attest anew beside the calls, where newer collateral can be had and is soon needed."""
        if self._settings.reattest == "never" or self._renewal.running:
            return
        if self._early.is_due():
            deadline = Deadline(self._settings.timeouts.connect, "attest")
            renewal = asyncio.get_running_loop().create_task(self._renewal.join(deadline))
            renewal.add_done_callback(_log_failure)
            self._early_renewal = renewal  # asyncio itself keeps no task alive

    def _is_fresh(self) -> bool:
        return time.time() < self._valid_until and time.monotonic() < self._old_at

    def _accept(self, enclave: Enclave) -> None:
        self.enclave = enclave
        self._refusal = None
        if enclave.claims is not None:
            self._valid_until = enclave.claims.valid_until.timestamp()
            if self._settings.collateral is not None:
                self._early.note(enclave.claims.valid_from, enclave.claims.valid_until)
            if self._settings.max_attestation_age is not None:
                age = self._settings.max_attestation_age.total_seconds()
                self._old_at = time.monotonic() + age

    def _announce(self, known: Enclave, enclave: Enclave) -> None:
        self.changes += 1
        log.warning(
            "the enclave has a new identity; its evidence passed, the channel is pinned to it"
        )
        callback = self._settings.on_identity_change
        if callback is not None and known.claims is not None and enclave.claims is not None:
            callback(known.claims, enclave.claims)

    def _give_up(self, refusal: BlindAIError) -> None:
        """Drop a session whose enclave can no longer be proven."""
        log.warning("new evidence was refused: %s", refusal)
        self._refusal = refusal
        session, self._session = self._session, None
        for each in (session, *self._retiring):
            if each is not None:
                self._retire(each, grace=0)

    def _raise_refusal(self, unless_older_than: float = float("inf")) -> None:
        if self._refusal is not None and time.monotonic() - self._tried_at < unless_older_than:
            raise own_instance(self._refusal)

    def raise_if_ended(self, error: BaseException) -> None:
        """Say why we have ended a call ourselves: closed, or the enclave refused.

        Raises:
            ConnectionClosedError: `close` was called.
            BlindAIError: the refusal of new evidence.
        """
        if self.closed:
            raise ConnectionClosedError("the connection was closed during the call") from error
        self._raise_refusal()

    def _retire(self, session: EnclaveSession, grace: float) -> None:
        """Close a session that was replaced; its calls get `grace` seconds to finish."""
        earlier = self._retiring.get(session)
        if earlier is not None:
            earlier.cancel()  # which closes it now
            return
        task = asyncio.get_running_loop().create_task(session.retire(grace))
        self._retiring[session] = task
        task.add_done_callback(lambda _: self._retiring.pop(session, None))

    async def pause(self, seconds: float) -> None:
        """Sleep; `close` wakes the sleeper.

        Raises:
            ConnectionClosedError: the connection was closed meanwhile.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._ended.wait()
        if self.closed:
            raise ConnectionClosedError("the connection was closed during the call")

    def begin_closing(self) -> bool:
        """Refuse new calls from now on; tells whether there is anything that `close` has to close.

        After a fork, and after the end of its loop, there is not: gRPC must not be touched then.

        Raises:
            ConnectionClosedError: it is another loop that has to close it.
        """
        if self.closed or self._closing:
            return False
        if (
            self._affinity is None
            or not self._affinity.is_this_process()
            or self._affinity.is_gone()
        ):
            self.closed = True
            return False
        self._affinity.check()
        self._closing = True
        return True

    async def close(self) -> None:
        """Close every channel, and end whatever is under way, at once."""
        self.closed = True
        self._ended.set()
        await self._renewal.stop()
        session, self._session = self._session, None
        if session is not None:
            await session.close()
        retiring = list(self._retiring.values())
        for task in retiring:
            task.cancel()  # which closes the session now
        await asyncio.gather(*retiring, return_exceptions=True)


def _log_failure(renewal: asyncio.Task[EnclaveSession]) -> None:
    """The old evidence still counts: a renewal that failed is tried again, and told to nobody."""
    if not renewal.cancelled() and renewal.exception() is not None:
        log.info("no newer evidence yet: %s", renewal.exception())
