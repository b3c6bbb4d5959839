"""The life of a connection, without its calls: made, opened, attested anew, closed."""

from __future__ import annotations

import asyncio
import logging
import warnings
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import SecretStr

from blindai_async._batching.batcher import Batcher
from blindai_async._client.config import ConnectionConfig, warn_of_missing_protection
from blindai_async._client.debug_logging import log_everything
from blindai_async._client.model_names import ModelNames
from blindai_async._client.retrying import RetryingCaller
from blindai_async._client.session import EnclaveSession
from blindai_async._client.session_manager import SessionManager
from blindai_async._telemetry.recorder import Recorder
from blindai_async._transport.address import ServerAddress
from blindai_async._transport.channels import ChannelLimits
from blindai_async.attestation import INTEL_SGX_ROOT, SHARED_CACHE, AttestationCache, TrustRoot
from blindai_async.collateral.sources import CollateralChoice, collateral_source
from blindai_async.errors import AttestationError, HardwareModeUnsupportedError
from blindai_async.options import Batching, RetryPolicy, Timeouts
from blindai_async.specs import ClientInfo

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Generator, Sequence
    from datetime import timedelta
    from types import TracebackType

    from grpc.aio import ClientInterceptor

    from blindai_async._client.handshake import Enclave
    from blindai_async._telemetry.stats import ConnectionStats
    from blindai_async._transport.attested_port import AttestedPort
    from blindai_async._wire.tensor_data import OutgoingTensor
    from blindai_async.attestation import Claims, Policy, SgxEvidence
    from blindai_async.proofs.responses import PredictResponse
    from blindai_async.tensors.dtypes import ModelDatumType

__all__ = ["ConnectionLife"]

log = logging.getLogger("blindai_async")


class ConnectionLife:
    """What `AsyncConnection` is apart from its calls; its parameters are documented there."""

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
        batching: Batching | None = None,
        retry: RetryPolicy | None = None,
        reattest: Literal["auto", "never"] = "auto",
        max_attestation_age: timedelta | None = None,
        on_identity_change: Callable[[Claims, Claims], object] | None = None,
        trust_root: TrustRoot = INTEL_SGX_ROOT,
        attestation_cache: AttestationCache | None = None,
        max_reply_bytes: int = 256 << 20,
        chunk_size: int | None = None,
        send_client_uid: bool = False,
        interceptors: Sequence[ClientInterceptor] = (),
        collateral: CollateralChoice = "server",
        require_fresh: bool = False,
    ) -> None:
        _check(chunk_size, reattest)
        if simulation and require_fresh:
            raise ValueError("require_fresh=True: in simulation mode there is no evidence at all")
        self.simulation_mode = simulation
        self.client_info = ClientInfo.collect(send_uid=send_client_uid)
        self.input_specs: list[list[Any]] | None = None
        self.output_specs: list[ModelDatumType] | None = None
        ports = {"attested_port": attested_port, "untrusted_port": untrusted_port}
        self._settings = ConnectionConfig(
            address=None
            if addr is None
            else ServerAddress.parse(addr, server_name=server_name, **ports),
            server_name=server_name,
            policy=policy,
            certificate=certificate,
            simulation=simulation,
            api_key=SecretStr(api_key) if isinstance(api_key, str) else api_key,
            trust_root=trust_root,
            cache=SHARED_CACHE if attestation_cache is None else attestation_cache,
            limits=ChannelLimits(max_reply_bytes=max_reply_bytes),
            timeouts=timeouts or Timeouts(),
            retry=retry or RetryPolicy(),
            reattest=reattest,
            max_attestation_age=max_attestation_age,
            on_identity_change=on_identity_change,
            interceptors=tuple(interceptors),
            collateral=collateral_source(collateral),
            require_fresh=require_fresh,
        )
        self._chunk_size = chunk_size
        self._batching = batching
        self._batcher: Batcher | None = None
        self._recorder = Recorder()
        self._names = ModelNames()
        self._keeper = SessionManager(self._settings, self._begin_session)
        self._calls = RetryingCaller(self._keeper, self._settings.retry)
        if debug_mode:
            log_everything()
        warn_of_missing_protection(self._settings)

    def _begin_session(self, enclave: Enclave, port: AttestedPort) -> EnclaveSession:
        return EnclaveSession(enclave, port, self.client_info, self._chunk_size, self._recorder)

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
        await self._keeper.open()
        if self._batching is not None and self._batcher is None:
            self._batcher = Batcher(self._batching, self._send_batch, self._recorder)
        return self

    async def _send(
        self, model_id: str, tensors: Sequence[OutgoingTensor], timeout: float, *, sign: bool
    ) -> PredictResponse:
        return await self._calls.run(
            "predict",
            lambda session, left: session.predict(model_id, tensors, sign=sign, timeout=left),
            timeout,
        )

    async def _send_batch(
        self, model_id: str, tensors: Sequence[OutgoingTensor], timeout: float
    ) -> PredictResponse:
        return await self._send(model_id, tensors, timeout, sign=False)

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
        self._keeper.check_usable()
        if self.simulation_mode:
            raise HardwareModeUnsupportedError("in simulation mode there is nothing to attest")
        enclave = await self._keeper.attest()
        if enclave.claims is None:
            raise AttestationError("the handshake proved nothing")
        return enclave.claims

    async def close(self, grace: float = 0.0) -> None:
        """Close the connection. Does nothing where it is closed already.

        Args:
            grace: seconds that calls under way get to finish; new ones are refused meanwhile.
                What is under way then ends with `ConnectionClosedError`.
        """
        if not self._keeper.begin_closing():
            return
        batcher = self._batcher
        try:
            if grace > 0:
                await self._drain(grace)
        finally:
            if batcher is not None:
                await batcher.close()
            await self._keeper.close()

    async def _drain(self, grace: float) -> None:
        try:
            async with asyncio.timeout(grace):
                if self._batcher is not None:
                    await self._batcher.drain()
                await self._calls.drain()
        except TimeoutError:
            log.info("closing with calls under way")

    def __del__(self) -> None:
        keeper: SessionManager | None = getattr(self, "_keeper", None)
        if keeper is not None and keeper.is_open():
            warnings.warn(f"{self!r} was never closed", ResourceWarning, stacklevel=2, source=self)

    def __repr__(self) -> str:
        address = self._settings.address
        where = "Mithril Security Cloud" if address is None else address.attested
        state = "closed" if self.closed else "open" if self._keeper.is_open() else "unopened"
        mode = ", simulation" if self.simulation_mode else ""
        return f"<AsyncConnection to {where}, {state}{mode}>"

    @property
    def closed(self) -> bool:
        """Whether `close` was called, or opening failed."""
        return self._keeper.closed

    @property
    def policy(self) -> Policy | None:
        """What the enclave has to be; None in simulation mode and before opening."""
        return None if self._keeper.plan is None else self._keeper.plan.policy

    @property
    def stats(self) -> ConnectionStats:
        """What the connection has done so far: calls, requests, batch sizes, percentiles."""
        return self._recorder.snapshot()

    @property
    def server_version(self) -> str | None:
        """The version that the server states; None before opening."""
        return None if self._keeper.enclave is None else self._keeper.enclave.server_version

    @property
    def attestation(self) -> SgxEvidence | None:
        """The evidence that proved the enclave; None in simulation mode and before opening."""
        return None if self._keeper.enclave is None else self._keeper.enclave.evidence

    @property
    def claims(self) -> Claims | None:
        """What the evidence proved; None in simulation mode and before opening."""
        return None if self._keeper.enclave is None else self._keeper.enclave.claims

    @property
    def enclave_signing_key(self) -> bytes | None:
        """The Ed25519 key that the enclave signs with, 32 raw bytes; None before opening.

        In simulation mode nothing proves that it is an enclave's.
        """
        return None if self._keeper.enclave is None else self._keeper.enclave.signing_key


def _check(chunk_size: int | None, reattest: str) -> None:
    if chunk_size is not None and chunk_size < 1:
        raise ValueError(f"chunk_size is {chunk_size}; a message carries at least one byte")
    if reattest not in {"auto", "never"}:
        raise ValueError(f'reattest is {reattest!r}; it takes "auto" or "never"')
