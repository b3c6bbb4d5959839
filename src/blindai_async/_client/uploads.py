"""One upload: the file looked at, sent from disk, again only where that is harmless, and named."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

from blindai_async._client.model_source import open_model
from blindai_async._client.onnx_file import check_onnx_file
from blindai_async._transport.threads import Purpose, run_in_thread

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from blindai_async._client.model_names import ModelNames
    from blindai_async._client.predictions import Predictions
    from blindai_async._client.retrying import RetryingCaller
    from blindai_async._client.session import EnclaveSession
    from blindai_async._transport.deadline import Deadline
    from blindai_async.proofs.responses import UploadModelResponse
    from blindai_async.specs import ModelSpec


class Uploads:
    """Makes a connection's uploads.

    Args:
        caller: sends requests over the session.
        names: learns those of models' inputs and outputs.
        predictions: are not joined while their model is replaced.
    """

    def __init__(self, caller: RetryingCaller, names: ModelNames, predictions: Predictions) -> None:
        self._caller = caller
        self._names = names
        self._predictions = predictions

    async def upload(
        self,
        model: str | os.PathLike[str] | bytes,
        spec: ModelSpec,
        *,
        model_id: str | None,
        sign: bool,
        save_model: bool,
        on_progress: Callable[[int, int], object] | None,
        deadline: Deadline,
        patience: float,
    ) -> UploadModelResponse:
        """See `InferenceClient.upload_model`.

        Raises:
            TensorError: the file shows that no server could serve it; nothing was sent.
            BlindAIError: what sending raised.
            OSError: the file cannot be read.
        """
        async with deadline.timeout():
            file_names = await run_in_thread(Purpose.FILES, check_onnx_file, model)
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

        batcher = self._predictions.batcher
        with batcher.replacing(model_id) if batcher and model_id else nullcontext():
            response = await self._caller.run(
                send,
                deadline,
                patience,
                # Without an id of the caller's a second upload would leave a second model.
                may_repeat=lambda: model_id is not None or not begun,
            )
        self._names.learn(response, spec, file_names)
        if batcher is not None:
            batcher.name_inputs(response.model_id, [entry.name for entry in spec.inputs])
        return response
