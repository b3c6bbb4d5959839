"""connect() and AsyncConnection: what a caller holds."""

from __future__ import annotations

import asyncio
import logging
import os
import warnings
from typing import TYPE_CHECKING, Any, Self, TypeVar

from anyio import to_thread
from grpc.aio import UsageError
from pydantic import SecretStr

from blindai_async._debug import log_everything
from blindai_async._handshake import HandshakePlan, meet_enclave, open_attested_port
from blindai_async._plan import ConnectionSettings, plan_handshake, warn_of_missing_protection
from blindai_async._session import EnclaveSession
from blindai_async._transport.address import ServerAddress
from blindai_async._transport.channels import ChannelLimits
from blindai_async._transport.deadline import Deadline
from blindai_async._transport.model_source import open_model
from blindai_async.attestation import INTEL_SGX_ROOT, AttestationCache, TrustRoot
from blindai_async.errors import (
    AttestationError,
    ConnectionClosedError,
    HardwareModeUnsupportedError,
)
from blindai_async.options import Timeouts
from blindai_async.specs import ClientInfo, model_spec
from blindai_async.tensors.codec import outgoing
from blindai_async.tensors.inputs import conversion_is_costly, translate_tensors

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator, Sequence
    from types import TracebackType

    from grpc.aio import ClientInterceptor

    from blindai_async._handshake import Enclave
    from blindai_async.attestation import DcapClaims, Policy, SgxEvidence
    from blindai_async.responses import DeleteModelResponse, PredictResponse, UploadModelResponse
    from blindai_async.specs import ModelSpec
    from blindai_async.tensors.dtypes import ModelDatumType
    from blindai_async.tensors.inputs import InputTensor

__all__ = ["AsyncConnection", "connect"]

log = logging.getLogger("blindai_async")

_SHARED_CACHE = AttestationCache()

_T = TypeVar("_T")


class AsyncConnection:
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
            None. Ignored in simulation mode and for the cloud.
        certificate: PEM file, the host's certificate, which secures the untrusted port. Where None,
            the one that the port presents is used, with a warning: in hardware mode only the
            server's version rests on it. Ignored in simulation mode and for the cloud.
        simulation: connect to a server without SGX. **Nothing protects the data then**: whoever
            answers at the address reads it.
        untrusted_port: where the host answers for the enclave.
        attested_port: where the enclave answers.
        debug_mode: log to stderr, gRPC's own log included, for the whole process.
        api_key: for Mithril Security Cloud.
        timeouts: deadlines of the handshake and the calls.
        trust_root: where the evidence has to lead; another than Intel's only for tests.
        attestation_cache: remembers verdicts; one for the whole process where None.
        max_reply_bytes: the largest reply that is accepted.
        chunk_size: bytes of model or tensor a message.
        send_client_uid: tell the server a hash of this machine's and user's name.
        interceptors: grpc.aio client interceptors, for both channels.

    Raises:
        ValueError: an address or a port that is none.
        AttestationError: when it opens: the evidence does not hold (`QuoteValidationError`,
            `NotAnEnclaveError`, `EnclaveHeldDataError`), or the policy refuses it
            (`IdentityError`, `DebugNotAllowedError`, `TcbStatusError`).
        HardwareModeUnsupportedError: when it opens: the server is in simulation mode.
        VersionError: when it opens: the server is not a 0.5.x.
        TransportError: when it opens: the server is not reached. It is a ``ConnectionError``.
        FileNotFoundError: when it opens: the policy or certificate file is not there.
        PolicyFormatError: when it opens: the policy file is not a policy.

    Attributes:
        simulation_mode: whether nothing is proven.
        client_info: what the server is told about this client.
        policy: what the enclave had to be; None in simulation mode and before opening.
        input_specs: dims and dtype of each input, as the last upload stated them.
        output_specs: dtype of each output, as the last upload stated them.
        closed: whether `close` was called, or opening failed.
    """

    def __init__(
        self,
        addr: str | None = None,
        server_name: str = "blindai-srv",
        policy: str | os.PathLike[str] | Policy | None = None,
        certificate: str | os.PathLike[str] | None = None,
        simulation: bool = False,
        untrusted_port: int = 50052,
        attested_port: int = 50051,
        debug_mode: bool = False,
        api_key: str | SecretStr | None = None,
        *,
        timeouts: Timeouts | None = None,
        trust_root: TrustRoot = INTEL_SGX_ROOT,
        attestation_cache: AttestationCache | None = None,
        max_reply_bytes: int = 256 << 20,
        chunk_size: int = 256 << 10,
        send_client_uid: bool = False,
        interceptors: Sequence[ClientInterceptor] = (),
    ) -> None:
        self.closed = False
        self.simulation_mode = simulation
        self.client_info = ClientInfo.collect(send_uid=send_client_uid)
        self.policy: Policy | None = None
        self.input_specs: list[list[Any]] | None = None
        self.output_specs: list[ModelDatumType] | None = None
        self._settings = ConnectionSettings(
            address=None
            if addr is None
            else ServerAddress.parse(
                addr,
                attested_port=attested_port,
                untrusted_port=untrusted_port,
                server_name=server_name,
            ),
            server_name=server_name,
            policy=policy,
            certificate=certificate,
            simulation=simulation,
            api_key=SecretStr(api_key) if isinstance(api_key, str) else api_key,
            trust_root=trust_root,
            cache=attestation_cache or _SHARED_CACHE,
            limits=ChannelLimits(max_reply_bytes=max_reply_bytes),
            interceptors=tuple(interceptors),
        )
        self._timeouts = timeouts or Timeouts()
        self._chunk_size = chunk_size
        self._lock = asyncio.Lock()
        self._plan: HandshakePlan | None = None
        self._session: EnclaveSession | None = None
        self._enclave: Enclave | None = None  # outlives the session: proofs are judged after close
        self._owner: tuple[int, asyncio.AbstractEventLoop] | None = None
        if debug_mode:
            log_everything()
        warn_of_missing_protection(self._settings)

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
        async with self._lock:
            if self.closed:
                raise ConnectionClosedError("the connection is closed; connect() makes a new one")
            if self._session is not None:
                return self
            deadline = Deadline(self._timeouts.connect, "connect")
            try:
                plan = await plan_handshake(self._settings, deadline)
                await self._begin_session(plan, await meet_enclave(plan, deadline), deadline)
            except BaseException:
                self.closed = True
                raise
            self._plan, self.policy = plan, plan.policy
            self._owner = os.getpid(), asyncio.get_running_loop()
        return self

    async def _begin_session(
        self, plan: HandshakePlan, enclave: Enclave, deadline: Deadline
    ) -> None:
        port = await open_attested_port(plan, enclave, deadline)
        self._session = EnclaveSession(enclave, port, self.client_info, self._chunk_size)
        self._enclave = enclave

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
    ) -> UploadModelResponse:
        """Upload an ONNX model, streamed from disk without holding it in memory.

        Most models tell their inputs and outputs themselves; the specs are for those that do not.

        Args:
            model: a path, or the model's bytes.
            input_specs: of each input, a `TensorSpec` or a pair of dims and dtype; or a
                `ModelSpec`, which speaks of the outputs too.
            output_specs: of each output, a `TensorSpec` or a dtype.
            shape: of the only input.
            dtype: of the only input, float32 where only a shape is given; ignored without a shape.
            dtype_out: of the only output.
            sign: have the answer signed, and verify that it is, for exactly this model.
            model_id: the id to predict with; a random one where None.
            save_model: keep the model on the server's disk, sealed, over restarts.
            on_progress: called with the bytes sent and their total, after each message.
            timeout: seconds; ``timeouts.upload`` where None.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the model is empty. `TensorError` where a spec is none.
            SignatureError: `sign`, and the answer is not this enclave's about this model.
            TransportError: no proper answer came. `RequestRejectedError` where the server refused
                the model, `DeadlineExceededError` past the deadline.
            ConnectionClosedError: the connection is closed, or was not opened.
        """
        session = self._usable()
        spec = model_spec(input_specs, output_specs, shape, dtype, dtype_out)
        async with open_model(model) as source:
            response = await self._unless_closed(
                session.upload_model(
                    source,
                    spec,
                    model_id=model_id,
                    sign=sign,
                    save_model=save_model,
                    on_progress=on_progress,
                    timeout=self._timeouts.upload if timeout is None else timeout,
                )
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
    ) -> PredictResponse:
        """Run a model inside the enclave.

        Args:
            model_id: from `upload_model`.
            tensors: one input or a list of several. An input is a NumPy array of any layout, a
                torch tensor, or a flat list of numbers, which needs `dtype` and `shape`. The types
                of `ModelDatumType` have a place on the wire; others (float16, complex) do not.
            dtype: of each input, or one for all: a `ModelDatumType`, a NumPy or torch dtype, or its
                name. An array has its own, and one given beside it must be the same.
            shape: of each input, or one shape.
            sign: have the answer signed, and verify that this enclave gave it to these inputs and
                this model. Save it as a proof with `PredictResponse.save_to_file`.
            timeout: seconds; ``timeouts.call`` where None.

        Raises:
            TensorError: an input has no place on the wire; nothing was sent.
            SignatureError: `sign`, and the answer is not this enclave's to this question.
            TransportError: no proper answer came. `RequestRejectedError` where the server refused
                the request, `DeadlineExceededError` past the deadline.
            ConnectionClosedError: the connection is closed, or was not opened.
        """
        session = self._usable()
        _check_model_id(model_id)
        inputs = await _translated(tensors, dtype, shape)
        return await self._unless_closed(
            session.predict(
                model_id,
                [outgoing(tensor, index) for index, tensor in enumerate(inputs)],
                sign=sign,
                timeout=self._timeouts.call if timeout is None else timeout,
            )
        )

    async def delete_model(
        self, model_id: str, *, timeout: float | None = None
    ) -> DeleteModelResponse:
        """Delete a model from the server's memory and disk. Who knows a model's id can delete it.

        Args:
            model_id: from `upload_model`. An id that the server does not know is no error.
            timeout: seconds; ``timeouts.call`` where None.

        Raises:
            TransportError: no proper answer came.
            ConnectionClosedError: the connection is closed, or was not opened.
        """
        session = self._usable()
        _check_model_id(model_id)
        return await self._unless_closed(
            session.delete_model(
                model_id, timeout=self._timeouts.call if timeout is None else timeout
            )
        )

    async def attest(self) -> DcapClaims:
        """Fetch the enclave's evidence anew, verify it, and pin the channel to what it proves.

        Returns:
            What the new evidence proves.

        Raises:
            AttestationError: it does not hold, or the policy refuses it. The connection is then
                closed: what could not be proven is not used on.
            HardwareModeUnsupportedError: the connection is in simulation mode.
            TransportError: no evidence came; the connection is left as it was.
            ConnectionClosedError: the connection is closed, or was not opened.
        """
        before = self._usable()
        if self.simulation_mode or self._plan is None:
            raise HardwareModeUnsupportedError("in simulation mode there is nothing to attest")
        async with self._lock:
            deadline = Deadline(self._timeouts.connect, "attest")
            try:
                enclave = await meet_enclave(self._plan, deadline)
            except AttestationError:
                await self.close()
                raise
            if enclave.certificate == before.enclave.certificate:
                before.enclave = self._enclave = enclave
            else:
                log.warning("the enclave has a new identity; the channel is pinned to it anew")
                await self._begin_session(self._plan, enclave, deadline)
                await before.close()
        if enclave.claims is None:
            raise AttestationError("the handshake proved nothing")
        return enclave.claims

    def _usable(self) -> EnclaveSession:
        """The session to call, where this connection may be used here and now."""
        if self.closed:
            raise ConnectionClosedError("the connection is closed")
        if self._session is None or self._owner is None:
            raise ConnectionClosedError("the connection is not open yet: await it first")
        pid, loop = self._owner
        if os.getpid() != pid:
            # gRPC does not survive a fork: touched in the child, it aborts the process.
            raise ConnectionClosedError("the connection was opened before a fork; open one here")
        if asyncio.get_running_loop() is not loop:
            raise ConnectionClosedError(
                "the connection belongs to another event loop; open one in this loop"
            )
        return self._session

    async def _unless_closed(self, call: Coroutine[Any, Any, _T]) -> _T:
        """Await a call; one that `close` has ended says so, and does not pretend a cancellation."""
        try:
            return await call
        except (asyncio.CancelledError, UsageError) as error:
            task = asyncio.current_task()
            if not self.closed or (task is not None and task.cancelling()):
                raise
            raise ConnectionClosedError("the connection was closed during the call") from error

    async def close(self) -> None:
        """Close the connection. Does nothing where it is closed already."""
        self.closed = True
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def __del__(self) -> None:
        if getattr(self, "_session", None) is not None and not self.closed:
            warnings.warn(f"{self!r} was never closed", ResourceWarning, stacklevel=2, source=self)

    def __repr__(self) -> str:
        address = self._settings.address
        where = "Mithril Security Cloud" if address is None else address.attested
        state = "closed" if self.closed else "unopened" if self._session is None else "open"
        mode = ", simulation" if self.simulation_mode else ""
        return f"<AsyncConnection to {where}, {state}{mode}>"

    @property
    def server_version(self) -> str | None:
        """The version that the server states; None before opening."""
        return None if self._enclave is None else self._enclave.server_version

    @property
    def attestation(self) -> SgxEvidence | None:
        """The evidence that proved the enclave; None in simulation mode and before opening."""
        return None if self._enclave is None else self._enclave.evidence

    @property
    def claims(self) -> DcapClaims | None:
        """What the evidence proved; None in simulation mode and before opening."""
        return None if self._enclave is None else self._enclave.claims

    @property
    def enclave_signing_key(self) -> bytes | None:
        """The Ed25519 key that the enclave signs with, 32 raw bytes; None before opening.

        In simulation mode nothing proves that it is an enclave's.
        """
        return None if self._enclave is None else self._enclave.signing_key


connect = AsyncConnection


async def _translated(tensors: Any, dtype: Any, shape: Any) -> list[InputTensor]:
    if conversion_is_costly(tensors):
        return await to_thread.run_sync(translate_tensors, tensors, dtype, shape)
    return translate_tensors(tensors, dtype, shape)


def _check_model_id(model_id: str) -> None:
    if not isinstance(model_id, str):
        raise TypeError(f"model_id is a {type(model_id).__name__}; upload_model() returns a str")
    if not model_id:
        raise ValueError("model_id is empty; upload_model() returns the id of a model")
