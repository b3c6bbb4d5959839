"""What a kept response answers, for people and for machines."""

from dataclasses import dataclass
from typing import Any

from blindai_async.cli.arrays import tensor_as_json
from blindai_async.proofs import PredictResponse, UploadModelResponse
from blindai_async.tensors import Tensor, dtype_to_numpy

__all__ = ["Answer"]

_SHOWN_VALUES = 20


@dataclass(frozen=True)
class Answer:
    """The content of a response.

    Attributes:
        kind: what was asked: "prediction" or "upload".
        model_id: the model.
        inference_time: milliseconds; 0 where the server did not tell.
        outputs: of a prediction, in the model's order.
    """

    kind: str
    model_id: str
    inference_time: int = 0
    outputs: tuple[Tensor, ...] = ()

    @classmethod
    def of(cls, response: PredictResponse | UploadModelResponse) -> "Answer":
        """What a response says."""
        if isinstance(response, PredictResponse):
            outputs = tuple(response.output)
            return cls("prediction", response.model_id, response.inference_time, outputs)
        return cls("upload", response.model_id)

    def facts(self) -> list[tuple[str, str]]:
        """The answer as labels and values; of large outputs the first values."""
        facts = [("model id", self.model_id)]
        if self.kind == "upload":
            return facts
        told = f"{self.inference_time} ms" if self.inference_time else "not told by the server"
        facts.append(("inference", told))
        return facts + [
            (_label(position, tensor), f"{_facts(tensor)}: {_values(tensor)}")
            for position, tensor in enumerate(self.outputs)
        ]

    def as_json(self) -> dict[str, Any]:
        """The answer in full; its outputs are what `predict` takes as inputs."""
        return {
            "kind": self.kind,
            "model_id": self.model_id,
            "inference_time": self.inference_time,
            "outputs": [tensor_as_json(tensor) for tensor in self.outputs],
        }


def _label(position: int, tensor: Tensor) -> str:
    return f"output {tensor.info.index_name or position}"


def _facts(tensor: Tensor) -> str:
    return f"{dtype_to_numpy(tensor.datum_type)} {list(tensor.shape)}"


def _values(tensor: Tensor) -> str:
    flat = tensor.as_numpy().reshape(-1)
    shown = ", ".join(
        f"{value:.6g}" if flat.dtype.kind == "f" else str(value) for value in flat[:_SHOWN_VALUES]
    )
    if flat.size > _SHOWN_VALUES:
        return f"{shown}, … ({flat.size:,} values in all)"
    return shown or "no values"
