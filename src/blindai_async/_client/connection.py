"""connect() and AsyncConnection: what a caller holds."""

from __future__ import annotations

import time
import warnings
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import SecretStr

from blindai_async._client.closing import Closing
from blindai_async._client.config import (
    ConnectionConfig,
    check_model_id,
    check_options,
    check_seconds,
    check_timeout,
    warn_of_missing_protection,
)
from blindai_async._client.debug_logging import log_everything
from blindai_async._client.interface import InferenceClient
from blindai_async._client.model_names import ModelNames
from blindai_async._client.onnx_file import check_onnx_file
from blindai_async._client.predict_many import predict_many
from blindai_async._client.predictions import Predictions
from blindai_async._client.retrying import RetryingCaller
from blindai_async._client.session import EnclaveSession
from blindai_async._client.session_manager import SessionManager
from blindai_async._client.session_state import SessionState, patience_of
from blindai_async._client.uploads import upload
from blindai_async._telemetry.recorder import Recorder
from blindai_async._transport.address import ServerAddress
from blindai_async._transport.channels import ChannelLimits
from blindai_async._transport.deadline import Deadline
from blindai_async._transport.threads import Purpose, run_in_thread
from blindai_async.attestation import INTEL_SGX_ROOT, SHARED_CACHE, AttestationCache, TrustRoot
from blindai_async.collateral.sources import CollateralChoice, collateral_source
from blindai_async.errors import (
    AttestationError,
    HardwareModeUnsupportedError,
)
from blindai_async.options import Batching, RetryPolicy, Timeouts
from blindai_async.specs import ClientInfo, model_spec

if TYPE_CHECKING:
    import os
    from collections.abc import (
        AsyncIterable,
        AsyncIterator,
        Callable,
        Coroutine,
        Generator,
        Iterable,
        Sequence,
    )
    from datetime import timedelta
    from types import TracebackType

    from grpc.aio import ClientInterceptor

    from blindai_async._client.handshake import Enclave
    from blindai_async._client.session_state import Outage, WhenDown
    from blindai_async._telemetry.stats import ConnectionStats
    from blindai_async._transport.attested_port import AttestedPort
    from blindai_async.attestation import Claims, Policy, SgxEvidence
    from blindai_async.proofs.responses import (
        DeleteModelResponse,
        PredictResponse,
        UploadModelResponse,
    )
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
        interceptors: grpc.aio client interceptors, for both channels. gRPC uses each for the first
            kind of call that its class intercepts, and for no other.
        collateral: where what Intel has signed about the server's platform comes from: "server"
            takes what is sent along; "pcs" asks Intel's service, a URL a PCCS; a directory is read
            (see `blindai_async.collateral.read_bundle`); or an object with
            ``async def fetch(quote: bytes) -> SgxCollateral``, such as a `PcsClient`. With any but
            "server", what the server sends is not used, and may be missing or stale; and evidence
            is asked for anew before the collateral expires. Ignored in simulation mode.
        require_fresh: refuse a quote that was not made for this connection, which older servers
            cannot give.

    Raises:
        TypeError: an option of another kind than it takes.
        ValueError: an invalid address, port, URL or option.
        AttestationError: when it opens: the evidence does not hold (`QuoteValidationError`,
            `NotAnEnclaveError`, `EnclaveHeldDataError`), or the policy refuses it
            (`IdentityError`, `DebugNotAllowedError`, `TcbStatusError`).
        HardwareModeUnsupportedError: when it opens: the server is in simulation mode.
        VersionError: when it opens: the server is not a 0.5.x.
        TransportError: when it opens: the server is not reached. It is a ``ConnectionError``.
        ConnectionClosedError: when it opens: this process was forked from one that had opened a
            connection.
        FileNotFoundError: when it opens: the policy or certificate file is not there.
        PolicyFormatError: when it opens: the policy file is not a policy.
        CollateralError: when it opens: collateral was to be fetched, and could not be had. It is a
            `TransportError`.

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
        check_options(timeouts, batching, retry, reattest, max_reply_bytes, chunk_size)
        if simulation and require_fresh:
            raise ValueError("require_fresh=True: in simulation mode there is no evidence at all")
        self.simulation_mode = simulation
        self.client_info: ClientInfo = ClientInfo.collect(send_uid=send_client_uid)
        self.input_specs: list[list[Any]] | None = None
        self.output_specs: list[ModelDatumType] | None = None
        ports = {"attested_port": attested_port, "untrusted_port": untrusted_port}
        self._config = ConnectionConfig(
            address=None
            if addr is None
            else ServerAddress.parse(addr, server_name=server_name, **ports),
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
        self._chunk_size = chunk_size
        self._batching = batching
        self._names = ModelNames()
        self._recorder = Recorder()
        self._manager = SessionManager(self._config, self._begin_session)
        self._caller = RetryingCaller(self._manager, self._manager.streams, self._config.retry)
        self._predictions = Predictions(
            self._manager, self._caller, self._names, self._recorder, self._config.patience
        )
        self._closing = Closing(self._drain, self._end)
        if debug_mode:
            log_everything()
        warn_of_missing_protection(self._config)

    def _begin_session(self, enclave: Enclave, port: AttestedPort) -> EnclaveSession:
        return EnclaveSession(enclave, port, self.client_info, self._chunk_size, self._recorder)

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
        await self._manager.open()
        if self._batching is not None:
            self._predictions.join_calls(self._batching)
        return self

    async def close(self, grace: float = 0.0) -> None:
        grace = check_seconds("grace", grace)
        if self._manager.begin_closing():
            await self._closing.join(grace)

    async def _drain(self) -> None:
        if self._predictions.batcher is not None:
            await self._predictions.batcher.drain()
        await self._caller.calls.wait_idle()

    async def _end(self) -> None:
        try:
            if self._predictions.batcher is not None:
                await self._predictions.batcher.close()
            self._caller.calls.end_all()
        finally:
            await self._manager.close()

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
            check_model_id(model_id)
        spec = model_spec(input_specs, output_specs, shape, dtype, dtype_out)
        deadline = self._deadline("upload_model", timeout, self._config.timeouts.upload)
        async with deadline.timeout():
            file_names = await run_in_thread(Purpose.FILES, check_onnx_file, model)
        batcher = self._predictions.batcher
        with batcher.replacing(model_id) if batcher and model_id else nullcontext():
            response = await upload(
                self._caller,
                model,
                spec,
                model_id=model_id,
                sign=sign,
                save_model=save_model,
                on_progress=on_progress,
                deadline=deadline,
                patience=self._patience(when_down),
            )
        self.input_specs = [[list(entry.dims), entry.dtype] for entry in spec.inputs]
        self.output_specs = [entry.dtype for entry in spec.outputs]
        self._names.learn(response, spec, file_names)
        if batcher is not None:
            batcher.name_inputs(response.model_id, [entry.name for entry in spec.inputs])
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
        check_model_id(model_id)
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

    def predict_many(
        self,
        model_id: str,
        inputs: Iterable[Any] | AsyncIterable[Any],
        *,
        concurrency: int | None = None,
        ordered: bool = True,
        return_exceptions: bool = False,
        keyed: bool = False,
        dtype: Any = None,
        shape: Any = None,
        sign: bool = False,
        timeout: float | None = None,
        when_down: WhenDown | None = None,
    ) -> AsyncIterator[Any]:
        if concurrency is None:
            batches = self._batching
            concurrency = 64 if batches is None else batches.max_batch_size * batches.max_in_flight
        if concurrency < 1:
            raise ValueError(f"concurrency is {concurrency}; at least one call has to be under way")

        def call(tensors: Any) -> Coroutine[Any, Any, PredictResponse]:
            return self.predict(
                model_id, tensors, dtype, shape, sign, timeout=timeout, when_down=when_down
            )

        return predict_many(
            call,
            inputs,
            concurrency,
            ordered=ordered,
            return_exceptions=return_exceptions,
            keyed=keyed,
        )

    async def delete_model(
        self, model_id: str, *, timeout: float | None = None, when_down: WhenDown | None = None
    ) -> DeleteModelResponse:
        self._manager.check_usable()
        check_model_id(model_id)
        response = await self._caller.run(
            lambda session, left: session.delete_model(model_id, timeout=left),
            self._deadline("delete_model", timeout, self._config.timeouts.call),
            self._patience(when_down),
        )
        self._names.forget(model_id)
        return response

    def _deadline(self, what: str, timeout: float | None, default: float) -> Deadline:
        return Deadline(default if timeout is None else check_timeout(timeout), what)

    def _patience(self, when_down: WhenDown | None) -> float:
        return self._config.patience if when_down is None else patience_of(when_down)

    # The enclave and the link to it

    async def attest(self) -> Claims:
        """Fetch the enclave's evidence anew, verify it, and pin the channel to what it proves.

        Returns:
            What the new evidence proves.

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
        enclave = await self._manager.attest()
        if enclave.claims is None:
            raise AttestationError("the handshake proved nothing")
        return enclave.claims

    async def wait_ready(self, timeout: float | None = None) -> None:
        """Wait until calls can go out.

        Args:
            timeout: seconds; ``timeouts.connect`` where None.

        Raises:
            DeadlineExceededError: the server is still unreachable; the text says why.
            AttestationError: new evidence does not pass.
            ConnectionClosedError: the connection is closed, or was not opened.
        """
        self._manager.check_usable()
        deadline = self._deadline("wait_ready", timeout, self._config.timeouts.connect)
        with self._caller.calls.scope():
            await self._manager.session(deadline, float("inf"))

    async def ping(self, timeout: float = 5.0) -> float:
        """Probe whether the enclave answers now: for readiness checks. No statistic counts it.

        It does not wait for a server that is known to be unreachable.

        Returns:
            The seconds until the answer came.

        Raises:
            TransportError: none came, or the server is unreachable.
            AttestationError: new evidence does not pass.
            ConnectionClosedError: the connection is closed, or was not opened.
        """
        self._manager.check_usable()
        deadline = self._deadline("ping", timeout, timeout)
        with self._caller.calls.scope():
            session = await self._manager.session(deadline, 0.0)
            started = time.perf_counter()
            await session.ping(deadline.remaining())
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
        return self._recorder.snapshot()

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
        """The Ed25519 key that the enclave signs with, 32 raw bytes; None before opening.

        In simulation mode nothing proves that it is an enclave's.
        """
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
