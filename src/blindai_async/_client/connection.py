"""connect() and AsyncConnection: what a caller holds."""

from __future__ import annotations

import time
import warnings
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import SecretStr

from blindai_async._client import arguments
from blindai_async._client.config import ConnectionConfig, warn_of_missing_protection
from blindai_async._client.debug_logging import log_everything
from blindai_async._client.interface import InferenceClient
from blindai_async._client.runtime import ConnectionRuntime
from blindai_async._client.session_state import SessionState, patience_of
from blindai_async._transport.deadline import Deadline
from blindai_async.attestation import INTEL_SGX_ROOT, AttestationCache, TrustRoot
from blindai_async.errors import HardwareModeUnsupportedError
from blindai_async.specs import ClientInfo, model_spec

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Generator, Sequence
    from datetime import timedelta
    from types import TracebackType

    from grpc.aio import ClientInterceptor

    from blindai_async._client.session_manager import SessionManager
    from blindai_async._client.session_state import Outage, WhenDown
    from blindai_async._telemetry.stats import ConnectionStats
    from blindai_async.attestation import Claims, Policy, SgxEvidence
    from blindai_async.collateral.sources import CollateralChoice
    from blindai_async.options import Batching, RetryPolicy, Timeouts
    from blindai_async.proofs import DeleteModelResponse, PredictResponse, UploadModelResponse
    from blindai_async.specs import ModelSpec
    from blindai_async.tensors.dtypes import ModelDatumType


class AsyncConnection(InferenceClient):
    """A connection to one BlindAI server, and to the enclave in it.

    ``conn = await connect(...)`` or ``async with connect(...) as conn``; nothing is sent before.
    The enclave's evidence is verified when the connection opens; every call then goes over one
    channel that is pinned to the enclave's certificate. A connection belongs to the event loop that
    opened it; its calls may run concurrently.

    Args:
        addr: the server's host; ``https://`` before it is dropped. None asks Mithril Security Cloud
            for the enclave of `api_key`.
        server_name: the name that the server's certificates carry.
        policy: a policy file, or a `Policy`: which enclave is accepted. The built-in one where
            None. Ignored in simulation mode and for the cloud. A file is read anew at each
            attestation.
        certificate: the host's certificate, which secures the untrusted port: a PEM file, read anew
            at each attestation, or PEM bytes. Where None, the one that the port presents is used,
            with a warning: in hardware mode only the server's version rests on it. Ignored in
            simulation mode and for the cloud.
        simulation: connect to a server without SGX. **Nothing protects the data then**: whoever
            answers at the address reads it.
        untrusted_port: where the host answers for the enclave.
        attested_port: where the enclave answers.
        debug_mode: log to stderr, for the whole process, and say how gRPC's own log is turned on.
        api_key: for Mithril Security Cloud.
        timeouts: deadlines of the handshake and the calls.
        batching: join concurrent predictions into one request; off where None.
        retry: when a call that may have reached the server is sent again.
        when_down: what calls do while the server is unreachable: "wait" for it until their
            deadline, "fail" at once, or wait for a number of seconds.
        wait: seconds for which opening is tried again while the server is not reached; 0 does not.
        reattest: "auto" asks for new evidence after a failure that a restarted enclave may have
            caused, and when the old evidence expires, and goes on if it passes; "never" does not.
        max_attestation_age: attest anew when the evidence was verified this long ago, even though
            it is still valid.
        on_identity_change: called with the claims on the old and the new enclave when another one
            has taken its place; what it raises reaches the calls that waited for it.
        on_state_change: called with the old and the new `SessionState` at each change, on the event
            loop; what it raises goes to the loop's exception handler. `outage` tells why.
        trust_root: where the evidence has to lead; another than Intel's only for tests.
        attestation_cache: remembers verdicts; one for the whole process where None.
        max_reply_bytes: the largest reply that is accepted.
        chunk_size: bytes of model or tensor a message. Where None, 256 KiB, with which the event
            loop is never held for long; and 1 MiB for predictions of a few messages.
        send_client_uid: tell the server a hash of this machine's and user's name.
        interceptors: grpc.aio's, for both channels; each counts for the first kind it intercepts.
        collateral: where Intel's statements about the platform come from: "server" takes what it
            sends along, "pcs" asks Intel's service, a URL a PCCS, a directory is read; or an object
            with ``async def fetch(quote: bytes) -> SgxCollateral``. With any but "server", what is
            sent along is not used, and evidence is renewed before it expires.
        require_fresh: refuse a quote that was not made for this connection, which older servers
            cannot give.

    Raises:
        TypeError: an option of another kind than it takes.
        ValueError: an invalid address, port, URL or option.
        AttestationError: when it opens: the evidence does not hold (`QuoteValidationError`), or the
            policy refuses it (`IdentityError`, `DebugNotAllowedError`, `TcbStatusError`).
        HardwareModeUnsupportedError: when it opens: the server is in simulation mode.
        VersionError: when it opens: the server is not a 0.5.x.
        TransportError: when it opens: the server is not reached; it is a ``ConnectionError``. Where
            collateral cannot be had, a `CollateralError`.
        ConnectionClosedError: when it opens: in a process forked from one that had a connection.
        FileNotFoundError: when it opens: the policy or certificate file is not there.
        PolicyFormatError: when it opens: the policy file is not a policy.

    Attributes:
        simulation_mode: whether nothing is proven.
        client_info: what the server is told about this client.
        input_specs: dims and dtype of each input, as the last upload stated them.
        output_specs: dtype of each output, as the last upload stated them.
    """

    def __init__(
        self,
        addr: str | None = None,
        server_name: str = "blindai-srv",
        policy: str | os.PathLike[str] | Policy | None = None,
        certificate: str | os.PathLike[str] | bytes | None = None,
        simulation: bool = False,
        untrusted_port: int = 50052,
        attested_port: int = 50051,
        debug_mode: bool = False,
        api_key: str | SecretStr | None = None,
        *,
        timeouts: Timeouts | None = None,
        batching: Batching | None = None,
        retry: RetryPolicy | None = None,
        when_down: WhenDown = "wait",
        wait: float = 0.0,
        reattest: Literal["auto", "never"] = "auto",
        max_attestation_age: timedelta | None = None,
        on_identity_change: Callable[[Claims, Claims], object] | None = None,
        on_state_change: Callable[[SessionState, SessionState], object] | None = None,
        trust_root: TrustRoot = INTEL_SGX_ROOT,
        attestation_cache: AttestationCache | None = None,
        max_reply_bytes: int = 256 << 20,
        chunk_size: int | None = None,
        send_client_uid: bool = False,
        interceptors: Sequence[ClientInterceptor] = (),
        collateral: CollateralChoice = "server",
        require_fresh: bool = False,
    ) -> None:
        # Before anything can fail: a traceback may show the variables of this frame.
        api_key = SecretStr(api_key) if isinstance(api_key, str) else api_key
        arguments.check_options(timeouts, batching, retry, reattest, max_reply_bytes, chunk_size)
        self.simulation_mode = simulation
        self.client_info: ClientInfo = ClientInfo.collect(send_uid=send_client_uid)
        self.input_specs: list[list[Any]] | None = None
        self.output_specs: list[ModelDatumType] | None = None
        self._config = ConnectionConfig.from_options(
            addr,
            server_name,
            (untrusted_port, attested_port),
            policy=policy,
            certificate=certificate,
            simulation=simulation,
            api_key=api_key,
            timeouts=timeouts,
            retry=retry,
            when_down=when_down,
            wait=wait,
            reattest=reattest,
            max_attestation_age=max_attestation_age,
            on_identity_change=on_identity_change,
            on_state_change=on_state_change,
            trust_root=trust_root,
            attestation_cache=attestation_cache,
            max_reply_bytes=max_reply_bytes,
            interceptors=interceptors,
            collateral=collateral,
            require_fresh=require_fresh,
        )
        self._batching = batching
        self._runtime = ConnectionRuntime(self._config, self.client_info, chunk_size, batching)
        self._manager = self._runtime.manager
        self._predictions = self._runtime.predictions
        if debug_mode:
            log_everything()
        warn_of_missing_protection(self._config)

    # Opening and closing

    def __await__(self) -> Generator[Any, None, Self]:
        return self._open().__await__()

    async def __aenter__(self) -> Self:
        return await self._open()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def _open(self) -> Self:
        await self._runtime.open()
        return self

    async def close(self, grace: float = 0.0) -> None:
        grace = arguments.check_seconds("grace", grace)
        if self._manager.begin_closing():
            await self._runtime.closing.join(grace)

    # Calls

    async def upload_model(
        self,
        model: str | os.PathLike[str] | bytes,
        input_specs: ModelSpec | Sequence[Any] | None = None,
        output_specs: Sequence[Any] | None = None,
        shape: Sequence[int] | None = None,
        dtype: Any = None,
        dtype_out: Any = None,
        sign: bool = False,
        model_id: str | None = None,
        save_model: bool = True,
        *,
        on_progress: Callable[[int, int], object] | None = None,
        timeout: float | None = None,
        when_down: WhenDown | None = None,
    ) -> UploadModelResponse:
        self._manager.check_usable()
        if model_id:  # an empty one asks for a random one, as None does
            arguments.check_model_id(model_id)
        spec = model_spec(input_specs, output_specs, shape, dtype, dtype_out)
        response = await self._runtime.uploads.upload(
            model,
            spec,
            model_id=model_id,
            sign=sign,
            save_model=save_model,
            on_progress=on_progress,
            deadline=self._deadline("upload_model", timeout, self._config.timeouts.upload),
            patience=self._patience(when_down),
        )
        self.input_specs = [[list(entry.dims), entry.dtype] for entry in spec.inputs]
        self.output_specs = [entry.dtype for entry in spec.outputs]
        return response

    async def predict(
        self,
        model_id: str,
        tensors: Any,
        dtype: Any = None,
        shape: Any = None,
        sign: bool = False,
        *,
        timeout: float | None = None,
        batch: bool = True,
        when_down: WhenDown | None = None,
    ) -> PredictResponse:
        self._manager.check_usable()
        arguments.check_model_id(model_id)
        return await self._predictions.predict(
            model_id,
            tensors,
            dtype,
            shape,
            sign=sign,
            batch=batch,
            deadline=self._deadline("predict", timeout, self._config.timeouts.call),
            patience=self._patience(when_down),
        )

    @property
    def _default_concurrency(self) -> int:
        batches = self._batching
        return 64 if batches is None else batches.max_batch_size * batches.max_in_flight

    async def delete_model(
        self, model_id: str, *, timeout: float | None = None, when_down: WhenDown | None = None
    ) -> DeleteModelResponse:
        self._manager.check_usable()
        arguments.check_model_id(model_id)
        return await self._runtime.delete_model(
            model_id,
            self._deadline("delete_model", timeout, self._config.timeouts.call),
            self._patience(when_down),
        )

    def _deadline(self, what: str, timeout: float | None, default: float) -> Deadline:
        return Deadline(default if timeout is None else arguments.check_timeout(timeout), what)

    def _patience(self, when_down: WhenDown | None) -> float:
        return self._config.patience if when_down is None else patience_of(when_down)

    # The enclave and the link to it

    async def attest(self) -> Claims:
        """Fetch the enclave's evidence anew, verify it, pin the channel to it; returns the claims.

        Raises:
            AttestationError: it does not hold, or the policy refuses it. What could not be proven
                is not used any further: calls fail until new evidence passes.
            HardwareModeUnsupportedError: the connection is in simulation mode.
            TransportError: no evidence came; the connection is left as it was.
            ConnectionClosedError: the connection is closed, or was not opened.
        """
        self._manager.check_usable()
        if self.simulation_mode:
            raise HardwareModeUnsupportedError("in simulation mode there is nothing to attest")
        return await self._manager.attest()

    async def wait_ready(self, timeout: float | None = None) -> None:
        """Wait until calls can go out, for `timeout` seconds; ``timeouts.connect`` where None.

        Raises:
            DeadlineExceededError: the server is still unreachable; the text says why.
            AttestationError: new evidence does not pass.
            ConnectionClosedError: the connection is closed, or was not opened.
        """
        self._manager.check_usable()
        await self._runtime.wait_ready(
            self._deadline("wait_ready", timeout, self._config.timeouts.connect)
        )

    async def ping(self, timeout: float = 5.0) -> float:
        """Probe whether the enclave answers now: for readiness checks. No statistic counts it.

        Returns:
            The seconds until the answer came; a server known to be unreachable is not waited for.

        Raises:
            TransportError: none came, or the server is unreachable.
            AttestationError: new evidence does not pass.
            ConnectionClosedError: the connection is closed, or was not opened.
        """
        self._manager.check_usable()
        started = time.perf_counter()
        await self._runtime.ping(self._deadline("ping", timeout, timeout))
        return time.perf_counter() - started

    @property
    def state(self) -> SessionState:
        """Whether calls can go out at this moment."""
        return self._manager.link.state

    @property
    def outage(self) -> Outage | None:
        """Since when and why the server has been unreachable; None where it is not."""
        return self._manager.link.outage

    @property
    def closed(self) -> bool:
        """Whether `close` was called and is done, or opening failed."""
        return self._manager.link.state is SessionState.CLOSED

    @property
    def policy(self) -> Policy | None:
        """What the enclave has to be; None in simulation mode and before opening."""
        return None if self._manager.plan is None else self._manager.plan.policy

    @property
    def stats(self) -> ConnectionStats:
        """What the connection has done so far: calls, requests, batch sizes, percentiles."""
        return self._runtime.recorder.snapshot()

    @property
    def server_version(self) -> str | None:
        """The version that the server states; None before opening."""
        return None if self._manager.enclave is None else self._manager.enclave.server_version

    @property
    def attestation(self) -> SgxEvidence | None:
        """The evidence that proved the enclave; None in simulation mode and before opening."""
        return None if self._manager.enclave is None else self._manager.enclave.evidence

    @property
    def claims(self) -> Claims | None:
        """What the evidence proved; None in simulation mode and before opening."""
        return None if self._manager.enclave is None else self._manager.enclave.claims

    @property
    def enclave_signing_key(self) -> bytes | None:
        """The Ed25519 key that answers are signed with, 32 bytes; in simulation mode unproven."""
        return None if self._manager.enclave is None else self._manager.enclave.signing_key

    def __del__(self) -> None:
        manager: SessionManager | None = getattr(self, "_manager", None)
        if manager is not None and manager.is_open():
            warnings.warn(f"{self!r} was never closed", ResourceWarning, stacklevel=2, source=self)

    def __repr__(self) -> str:
        manager: SessionManager | None = getattr(self, "_manager", None)
        if manager is None:
            return "<AsyncConnection, not made: its constructor failed>"
        address = self._config.address
        where = "Mithril Security Cloud" if address is None else address.attested
        mode = ", simulation" if self.simulation_mode else ""
        return f"<AsyncConnection to {where}, {manager.link.state}{mode}>"


# The error about an argument that is wrong names what the caller called.
AsyncConnection.__init__.__qualname__ = "connect"
connect = AsyncConnection
