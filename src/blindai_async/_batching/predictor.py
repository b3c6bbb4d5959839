"""What the batcher needs of a connection: a way to predict."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from blindai_async._wire.tensor_data import OutgoingTensor
    from blindai_async.proofs.responses import PredictResponse


class Predictor(Protocol):
    """Sends one request, whoever's rows are in it."""

    async def __call__(
        self, model_id: str, tensors: Sequence[OutgoingTensor], timeout: float, /
    ) -> PredictResponse:
        """Run the model on the tensors."""
        ...
