"""connect() and AsyncConnection: what a caller holds."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
from anyio import to_thread

from blindai_async._client.life import ConnectionLife
from blindai_async._client.model_source import open_model
from blindai_async._client.onnx_file import check_onnx_file
from blindai_async._client.predict_many import predict_many
from blindai_async._wire.tensor_data import outgoing
from blindai_async.specs import model_spec
from blindai_async.tensors.inputs import conversion_is_costly, translate_tensors
from blindai_async.tensors.named import in_order

if TYPE_CHECKING:
    import os
    from collections.abc import (
        AsyncIterable,
        AsyncIterator,
        Callable,
        Coroutine,
        Iterable,
        Sequence,
    )

    from blindai_async._client.session import EnclaveSession
    from blindai_async.proofs.responses import (
        DeleteModelResponse,
        PredictResponse,
        UploadModelResponse,
    )
    from blindai_async.specs import ModelSpec

__all__ = ["AsyncConnection", "connect"]


class AsyncConnection(ConnectionLife):
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
        debug_mode: log to stderr, for the whole process, and say how gRPC's own log is turned on.
        api_key: for Mithril Security Cloud.
        timeouts: deadlines of the handshake and the calls.
        batching: join concurrent predictions into one request; off where None.
        retry: when a call that did not reach the server is sent again.
        reattest: "auto" asks for new evidence after a failure that a restarted enclave may have
            caused, and when the old evidence expires, and goes on if it passes; "never" does not.
        max_attestation_age: attest anew when the evidence was verified this long ago, even though
            it is still valid.
        on_identity_change: called with the claims on the old and the new enclave when another one
            has taken its place; what it raises reaches the calls that waited for it.
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
        ValueError: an address, a port or the URL of a PCCS that is none.
        AttestationError: when it opens: the evidence does not hold (`QuoteValidationError`,
            `NotAnEnclaveError`, `EnclaveHeldDataError`), or the policy refuses it
            (`IdentityError`, `DebugNotAllowedError`, `TcbStatusError`).
        HardwareModeUnsupportedError: when it opens: the server is in simulation mode.
        VersionError: when it opens: the server is not a 0.5.x.
        TransportError: when it opens: the server is not reached. It is a ``ConnectionError``.
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
        A file that shows that no server could serve it is refused before it is sent: weights in
        other files, inputs or outputs that are no tensors of a `ModelDatumType` (strings,
        sequences, float16). A server gives all outputs of a model, and 0.5 servers cannot be told
        to leave some out: cut the file (``onnx.utils.extract_model``, see the README).

        Args:
            model: a path, or the model's bytes.
            input_specs: of each input, a `TensorSpec` or a pair of dims and dtype; or a
                `ModelSpec`, which speaks of the outputs too.
            output_specs: of each output, a `TensorSpec` or a dtype. They describe all outputs, and
                choose none: a server refuses specs of some only.
            shape: of the only input.
            dtype: of the only input, float32 where only a shape is given; ignored without a shape.
            dtype_out: of the only output.
            sign: have the answer signed, and verify that it is, for exactly this model.
            model_id: the id to predict with; a random one where None.
            save_model: keep the model on the server's disk, sealed, over restarts.
            on_progress: called with the bytes sent and their total, after each message; from the
                start again where the upload is.
            timeout: seconds; ``timeouts.upload`` where None.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the model is empty. `TensorError` where a spec cannot be read, or the file
                shows that the model cannot be served.
            SignatureError: `sign`, and the answer is not this enclave's about this model.
            TransportError: no proper answer came. `RequestRejectedError` where the server refused
                the model, `DeadlineExceededError` past the deadline.
            ConnectionClosedError: the connection is closed, or was not opened.
        """
        self._keeper.check_usable()
        spec = model_spec(input_specs, output_specs, shape, dtype, dtype_out)
        file_names = await to_thread.run_sync(check_onnx_file, model)
        begun = False

        def progress(sent: int, total: int) -> None:
            nonlocal begun
            begun = True
            if on_progress is not None:
                on_progress(sent, total)

        async def send(session: EnclaveSession, left: float) -> UploadModelResponse:
            async with open_model(model) as source:
                return await session.upload_model(
                    source,
                    spec,
                    model_id=model_id,
                    sign=sign,
                    save_model=save_model,
                    on_progress=progress,
                    timeout=left,
                )

        batcher = self._batcher
        replacing = batcher.replacing(model_id) if batcher and model_id else nullcontext()
        with replacing:
            response = await self._calls.run(
                "upload_model",
                send,
                _seconds(timeout, self._settings.timeouts.upload),
                # Without an id of the caller's a second upload would leave a second model.
                may_repeat=lambda: model_id is not None or not begun,
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
    ) -> PredictResponse:
        """Run a model inside the enclave.

        Args:
            model_id: from `upload_model`.
            tensors: one input, a list of several, or a mapping by the model's names of them. An
                input is a NumPy array of any layout, a torch tensor, or a flat list of numbers,
                which needs `dtype` and `shape`. The types of `ModelDatumType` have a place on the
                wire; others (float16, complex) do not. The names are known from the last upload of
                `model_id` over this connection (the file, its specs, or the answer). Of another
                model they are sent as they stand, in the mapping's order, and never batched: 0.5
                servers go by the order, the server of this package by the names.
            dtype: of each input, or one for all: a `ModelDatumType`, a NumPy or torch dtype, or its
                name. An array has its own, and one given beside it must be the same.
            shape: of each input, or one shape.
            sign: have the answer signed, and verify that this enclave gave it to these inputs and
                this model. Save it as a proof with `PredictResponse.save_to_file`.
                Signed calls are never joined with others, since the proof has to cover exactly the
                caller's own inputs: they go side by side.
            timeout: seconds; ``timeouts.call`` where None.
            batch: let the call be joined with others, on a connection with `batching`.

        Raises:
            TensorError: an input has no place on the wire, or a name that the model does not have;
                nothing was sent.
            SignatureError: `sign`, and the answer is not this enclave's to this question.
            TransportError: no proper answer came. `RequestRejectedError` where the server refused
                the request: `ModelNotFoundError` where it has no such model, `TensorMismatchError`
                where the model takes other inputs. `DeadlineExceededError` past the deadline.
            ConnectionClosedError: the connection is closed, or was not opened.
        """
        self._keeper.check_usable()
        _check_model_id(model_id)
        started = time.perf_counter()
        self._recorder.calls += 1
        timeout = _seconds(timeout, self._settings.timeouts.call)
        batcher = self._batcher if batch and not sign else None
        names: Sequence[str] = ()
        try:
            if type(tensors) is not np.ndarray and isinstance(tensors, Mapping):
                names = self._names.order(model_id, tensors)
                tensors, dtype, shape = in_order(tensors, dtype, shape, names)
                if not self._names.knows_inputs(model_id):
                    batcher = None  # only the server can put them in order
            if conversion_is_costly(tensors):
                inputs = await to_thread.run_sync(translate_tensors, tensors, dtype, shape)
                timeout -= time.perf_counter() - started
            else:
                inputs = translate_tensors(tensors, dtype, shape)
            if batcher is not None:
                response = await batcher.predict(model_id, inputs, timeout)
            else:
                wire = [
                    outgoing(tensor, index, names[index] if names else "")
                    for index, tensor in enumerate(inputs)
                ]
                response = await self._send(model_id, wire, timeout, sign=sign)
        except BaseException:
            self._recorder.failures += 1
            raise
        self._recorder.latency.add(time.perf_counter() - started)
        self._names.name_outputs(model_id, response)
        return response

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
    ) -> AsyncIterator[Any]:
        """Run a model on any number of inputs, with flat memory: ``async for result in ...``.

        Args:
            model_id: from `upload_model`.
            inputs: each what `predict` takes as `tensors`; an iterable or an async one, of any
                length, read only as fast as results are taken. A generator is closed in the end,
                whatever that is. What it raises comes after the results of all that it gave before.
            concurrency: calls under way at once. Where None, as many as fill the connection's
                batches, or 64 without batching.
            ordered: give the results in the inputs' order; otherwise as they come.
            return_exceptions: give a failed call's exception in its place. Otherwise the first
                one ends the iteration, and the calls under way are cancelled. Either way it tells
                its input's index, counted from 0: as its attribute `index`, and in a note.
            keyed: give pairs of an input's index and its result, which tell unordered ones apart.
            dtype: see `predict`; so are `shape`, `sign` and `timeout`.
            shape: see `predict`.
            sign: see `predict`.
            timeout: of each call, in seconds.

        Returns:
            An async iterator over each input's `PredictResponse`, as soon as it is there; with
            `return_exceptions` also exceptions, with `keyed` pairs of index and either.

        Raises:
            ValueError: `concurrency` is less than 1.
        """
        if concurrency is None:
            batches = self._batching
            concurrency = 64 if batches is None else batches.max_batch_size * batches.max_in_flight
        if concurrency < 1:
            raise ValueError(f"concurrency is {concurrency}; at least one call has to be under way")

        def call(tensors: Any) -> Coroutine[Any, Any, PredictResponse]:
            return self.predict(model_id, tensors, dtype, shape, sign, timeout=timeout)

        return predict_many(
            call,
            inputs,
            concurrency,
            ordered=ordered,
            return_exceptions=return_exceptions,
            keyed=keyed,
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
        self._keeper.check_usable()
        _check_model_id(model_id)
        response = await self._calls.run(
            "delete_model",
            lambda session, left: session.delete_model(model_id, timeout=left),
            _seconds(timeout, self._settings.timeouts.call),
        )
        self._names.forget(model_id)
        return response


connect = AsyncConnection


def _seconds(timeout: float | None, default: float) -> float:
    if timeout is None:
        return default
    if not isinstance(timeout, int | float) or timeout != timeout:  # noqa: PLR0124 - NaN
        raise TypeError(f"timeout is {timeout!r}; it takes a number of seconds")
    return timeout


def _check_model_id(model_id: str) -> None:
    if not isinstance(model_id, str):
        raise TypeError(f"model_id is a {type(model_id).__name__}; upload_model() returns a str")
    if not model_id:
        raise ValueError("model_id is empty; upload_model() returns the id of a model")
