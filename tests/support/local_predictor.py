"""What the server does with a prediction, without a network: requests, ONNX Runtime, replies."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from blindai_async._pb import securedexchange_pb2 as pb
from blindai_async._wire.tensor_data import request_frames
from blindai_async.errors import RequestRejectedError
from blindai_async.proofs.responses import PredictResponse
from blindai_async.server.inference.onnx_runtime import Inference, Model
from blindai_async.server.rpc.replies import prediction_reply
from blindai_async.server.rpc.requests import PredictionRequest
from blindai_async.server.status_errors import RefusalError, invalid_argument

if TYPE_CHECKING:
    from collections.abc import Sequence

    from blindai_async._wire.tensor_data import OutgoingTensor


class LocalPredictor:
    """Answers predictions of one model.

    Attributes:
        model: may be replaced by another one.
        rows: of each request, the rows of its first input.
        batch_errors: raised for the coming requests of several rows, one each.
        held: an answer that is ready waits for it, where there is one.
        most_rows: more are refused as too many, where it is not None.
        answered: set when an answer waits.
    """

    def __init__(self, onnx: bytes) -> None:
        self.model = Model(onnx)
        self.rows: list[int] = []
        self.batch_errors: list[Exception] = []
        self.most_rows: int | None = None
        self.held: asyncio.Event | None = None
        self.answered = asyncio.Event()

    async def __call__(
        self, model_id: str, tensors: Sequence[OutgoingTensor], timeout: float
    ) -> PredictResponse:
        request = PredictionRequest(1 << 30, lambda size: None)
        trailer = pb.RunModelRequest(model_id=model_id).SerializeToString()
        for frame in request_frames(tensors, trailer, 1 << 20):
            request.accept(frame)
        await asyncio.sleep(0)
        try:
            arrived = request.finish()
            rows = arrived[0].dims[0] if arrived[0].dims else 0
            self.rows.append(rows)
            if rows > 1 and self.batch_errors:
                raise self.batch_errors.pop(0)
            if self.most_rows is not None and rows > self.most_rows:
                raise invalid_argument("Input is too big")
            started = time.perf_counter()
            outputs = Inference(self.model, arrived).run()
        except RefusalError as refusal:
            raise RequestRejectedError(
                f"predict: {refusal.details}", code=refusal.code.name, details=refusal.details
            ) from refusal
        reply = prediction_reply(outputs, time.perf_counter() - started)
        if self.held is not None:
            self.answered.set()
            await self.held.wait()
        return PredictResponse.from_reply(reply, model_id=model_id)
