"""What every client of a BlindAI server can do, whatever it speaks over."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from blindai_async._client.predict_many import predict_many

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

    from blindai_async._client.session_state import WhenDown
    from blindai_async.proofs.responses import (
        DeleteModelResponse,
        PredictResponse,
        UploadModelResponse,
    )
    from blindai_async.specs import ModelSpec


class InferenceClient(ABC):
    """Uploads models to enclaves, and runs them there."""

    @abstractmethod
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
        """Upload an ONNX model, streamed from disk without holding it in memory.

        Most models tell their inputs and outputs themselves; the specs are for those that do not.
        A file that shows that no server could serve it is refused before it is sent: weights in
        other files, inputs or outputs that are no tensors of a `ModelDatumType` (strings,
        sequences, float16). A server gives all outputs of a model, and 0.5 servers cannot be told
        to leave some out: cut the file (``onnx.utils.extract_model``).

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
            when_down: see `predict`.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the model is empty. `TensorError` where a spec cannot be read, or the file
                shows that the model cannot be served.
            SignatureError: `sign`, and the answer is not this enclave's about this model.
            TransportError: no proper answer came. `RequestRejectedError` where the server refused
                the model, `DeadlineExceededError` past the deadline.
            ConnectionClosedError: the connection is closed, or was not opened.
        """

    @abstractmethod
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
            timeout: seconds, over all that the call has to wait for; ``timeouts.call`` where None.
            batch: let the call be joined with others, on a connection with `batching`.
            when_down: what to do while the server is unreachable: "wait" for it until the deadline,
                "fail" at once, or wait for a number of seconds. The connection's where None; a call
                with another one than its connection's is not joined with others.

        Raises:
            TensorError: an input has no place on the wire, or a name that the model does not have;
                nothing was sent.
            SignatureError: `sign`, and the answer is not this enclave's to this question.
            TransportError: no proper answer came. `RequestRejectedError` where the server refused
                the request: `ModelNotFoundError` where it has no such model, `TensorMismatchError`
                where the model takes other inputs. `DeadlineExceededError` past the deadline.
            ConnectionClosedError: the connection is closed, or was not opened.
        """

    @property
    @abstractmethod
    def _default_concurrency(self) -> int:
        """Calls that `predict_many` has under way at once, where nobody says how many."""

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
            dtype: see `predict`; so are `shape`, `sign`, `timeout` and `when_down`.
            shape: see `predict`.
            sign: see `predict`.
            timeout: of each call, in seconds.
            when_down: see `predict`.

        Returns:
            An async iterator over each input's `PredictResponse`, as soon as it is there; with
            `return_exceptions` also exceptions, with `keyed` pairs of index and either.

        Raises:
            ValueError: `concurrency` is less than 1.
        """
        if concurrency is None:
            concurrency = self._default_concurrency
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

    @abstractmethod
    async def delete_model(
        self, model_id: str, *, timeout: float | None = None, when_down: WhenDown | None = None
    ) -> DeleteModelResponse:
        """Delete a model from the server's memory and disk. Who knows a model's id can delete it.

        Args:
            model_id: from `upload_model`. An id that the server does not know is no error.
            timeout: seconds; ``timeouts.call`` where None.
            when_down: see `predict`.

        Raises:
            TransportError: no proper answer came.
            ConnectionClosedError: the connection is closed, or was not opened.
        """

    @abstractmethod
    async def close(self, grace: float = 0.0) -> None:
        """Close the client; who comes second waits for the first.

        A caller that is cancelled meanwhile does not stop it.

        Args:
            grace: seconds that calls under way get to finish; new ones are refused meanwhile.
                What is under way then ends with `ConnectionClosedError`. Of several that wait, the
                shortest grace counts.
        """
