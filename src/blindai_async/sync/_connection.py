"""connect() and Connection: the original client's, over `AsyncConnection`."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar, cast

from blindai_async._client.connection import AsyncConnection
from blindai_async._wire.evidence import evidence_to_message
from blindai_async.errors import ConnectionClosedError
from blindai_async.sync._loop import loop_thread
from blindai_async.sync._responses import PredictResponse, UploadModelResponse, evidence

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Iterator

    from blindai_async import Policy, proofs
    from blindai_async._pb.untrusted_pb2 import GetSgxQuoteWithCollateralReply
    from blindai_async.specs import ClientInfo
    from blindai_async.tensors import ModelDatumType

F = TypeVar("F", bound="Callable[..., Any]")


def raise_exception_if_conn_closed(f: F) -> F:
    """Make a method of a connection raise `ConnectionClosedError`, a ValueError, once closed."""

    @wraps(f)
    def checked(self: Any, *args: Any, **kwargs: Any) -> Any:
        if self.closed:
            raise ConnectionClosedError("the connection is closed")
        return f(self, *args, **kwargs)

    return cast("F", checked)


class Connection(AbstractContextManager["Connection"]):
    """A connection to one BlindAI server, whose calls block; it may be used from many threads.

    Args:
        addr: see `blindai_async.connect`; so are the others.
        server_name: the name that the server's certificates carry.
        policy: a policy file, or a `Policy`.
        certificate: a file of the host's certificate.
        simulation: connect without evidence; never in production.
        untrusted_port: of the server.
        attested_port: of the server.
        debug_mode: log everything.
        api_key: for Mithril Security Cloud.
        options: the keyword-only parameters of `blindai_async.connect`.

    Raises:
        AttestationError: the evidence, or what it shows, is not acceptable.
        HardwareModeUnsupportedError: evidence was asked of a simulation server.
        VersionError: the server's version is not supported.
        ConnectionError: the server was not reached.
        FileNotFoundError: there is no such policy or certificate file.
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
        api_key: str | None = None,
        **options: Any,
    ) -> None:
        self._async = AsyncConnection(
            addr,
            server_name,
            policy,
            certificate,
            simulation,
            untrusted_port,
            attested_port,
            debug_mode,
            api_key,
            **options,
        )
        self._thread = loop_thread()
        self._thread.run(self._async.__aenter__)
        self._thread.open_connections.add(self)

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self, grace: float = 0.0) -> None:
        """Close the connection; without effect if it is closed."""
        if not self.closed:
            self._thread.run(self._async.close, grace)

    @raise_exception_if_conn_closed
    def upload_model(
        self,
        model: str | os.PathLike[str] | bytes,
        input_specs: Any = None,
        output_specs: Any = None,
        shape: Any = None,
        dtype: Any = None,
        dtype_out: Any = None,
        sign: bool = False,
        model_id: str | None = None,
        save_model: bool = True,
        **options: Any,
    ) -> UploadModelResponse:
        """Upload an ONNX model; see `blindai_async.AsyncConnection.upload_model`."""
        specs = (input_specs, output_specs, shape, dtype, dtype_out)
        response = self._thread.run(
            self._async.upload_model, model, *specs, sign, model_id, save_model, **options
        )
        fields = dict(response) | {"attestation": evidence(response.attestation)}
        return UploadModelResponse.model_construct(**fields)

    @raise_exception_if_conn_closed
    def predict(
        self,
        model_id: str,
        tensors: Any,
        dtype: Any = None,
        shape: Any = None,
        sign: bool = False,
        **options: Any,
    ) -> PredictResponse:
        """Run a model inside the enclave; see `blindai_async.AsyncConnection.predict`."""
        return PredictResponse.wrap(
            self._thread.run(self._async.predict, model_id, tensors, dtype, shape, sign, **options)
        )

    def predict_many(self, model_id: str, inputs: Iterable[Any], **options: Any) -> Iterator[Any]:
        """Run a model on any number of inputs; see `blindai_async.AsyncConnection.predict_many`."""
        results = self._async.predict_many(model_id, inputs, **options)
        keyed = options.get("keyed", False)
        try:
            while True:
                try:
                    result = self._thread.run(results.__anext__)
                except StopAsyncIteration:
                    return
                if keyed:
                    yield result[0], _wrapped(result[1])
                else:
                    yield _wrapped(result)
        finally:
            self._thread.run(results.aclose)  # type: ignore[attr-defined]

    @raise_exception_if_conn_closed
    def delete_model(self, model_id: str, **options: Any) -> proofs.DeleteModelResponse:
        """Delete a model from the server; see `blindai_async.AsyncConnection.delete_model`."""
        return self._thread.run(self._async.delete_model, model_id, **options)

    @property
    def attestation(self) -> GetSgxQuoteWithCollateralReply | None:
        """The evidence as a protobuf message; None in simulation mode."""
        held = self._async.attestation
        return None if held is None else evidence_to_message(held)

    @property
    def client_info(self) -> ClientInfo:
        """What the server is told about this client."""
        return self._async.client_info

    @property
    def closed(self) -> bool:
        """Whether the connection is closed."""
        return self._async.closed

    @property
    def enclave_signing_key(self) -> bytes | None:
        """The Ed25519 key that the enclave signs with, 32 raw bytes."""
        return self._async.enclave_signing_key

    @property
    def input_specs(self) -> list[list[Any]] | None:
        """Dims and dtype of each input, as the last upload stated them."""
        return self._async.input_specs

    @property
    def output_specs(self) -> list[ModelDatumType] | None:
        """Dtype of each output, as the last upload stated them."""
        return self._async.output_specs

    @property
    def policy(self) -> Policy | None:
        """The policy that the enclave was accepted under."""
        return self._async.policy

    @property
    def server_version(self) -> str | None:
        """The server's version."""
        return self._async.server_version

    @property
    def simulation_mode(self) -> bool:
        """Whether the connection does without evidence."""
        return self._async.simulation_mode


def _wrapped(result: Any) -> Any:
    return result if isinstance(result, Exception) else PredictResponse.wrap(result)


connect = Connection
