"""One upload's way: the file looked at, sent from disk, and again only where that is harmless."""

from __future__ import annotations

from typing import TYPE_CHECKING

from blindai_async._client.model_source import open_model

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from blindai_async._client.retrying import RetryingCaller
    from blindai_async._client.session import EnclaveSession
    from blindai_async._transport.deadline import Deadline
    from blindai_async.proofs.responses import UploadModelResponse
    from blindai_async.specs import ModelSpec


async def upload(
    caller: RetryingCaller,
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
        BlindAIError: what sending raised.
        OSError: the file cannot be read.
    """
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

    return await caller.run(
        send,
        deadline,
        patience,
        # Without an id of the caller's a second upload would leave a second model.
        may_repeat=lambda: model_id is not None or not begun,
    )
