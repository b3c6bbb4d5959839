"""The names of models' inputs and outputs, as far as a connection knows them."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from blindai_async._client.onnx_file import OnnxNames
from blindai_async.tensors.named import input_order

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from blindai_async.proofs.responses import PredictResponse, UploadModelResponse
    from blindai_async.specs import ModelSpec

_MAX_MODELS = 1024


class ModelNames:
    """Names by model id, learned from uploads over this connection."""

    def __init__(self) -> None:
        self._models: OrderedDict[str, OnnxNames] = OrderedDict()

    def learn(self, response: UploadModelResponse, spec: ModelSpec, file: OnnxNames) -> None:
        """Remember what an upload told: the caller's own names, the server's, or the file's."""
        names = OnnxNames(
            _first_complete(
                [entry.name for entry in spec.inputs],
                [entry.name for entry in response.inputs],
                file.inputs,
            ),
            _first_complete(
                [entry.name for entry in spec.outputs],
                [entry.name for entry in response.outputs],
                file.outputs,
            ),
        )
        self._models[response.model_id] = names
        self._models.move_to_end(response.model_id)
        if len(self._models) > _MAX_MODELS:
            self._models.popitem(last=False)

    def forget(self, model_id: str) -> None:
        """Drop what is known of a model that was deleted."""
        self._models.pop(model_id, None)

    def knows_inputs(self, model_id: str) -> bool:
        """Tell whether the names of a model's inputs are known."""
        return bool(self._models.get(model_id, OnnxNames()).inputs)

    def order(self, model_id: str, tensors: Mapping[str, Any]) -> tuple[str, ...]:
        """Tell in which order inputs by name go to a model: its own, or else the mapping's.

        Raises:
            TensorError: the names are known, and these are others.
        """
        return input_order(tensors, self._models.get(model_id, OnnxNames()).inputs)

    def name_outputs(self, model_id: str, response: PredictResponse) -> None:
        """Give the outputs of a reply that names none the names that are known."""
        output = response.output
        if not output or output[0].info.index_name:
            return
        names = self._models.get(model_id, OnnxNames()).outputs
        if len(names) == len(output) and not any(tensor.info.index_name for tensor in output):
            for tensor, name in zip(output, names, strict=True):
                tensor.info.index_name = name


def _first_complete(*candidates: list[str] | tuple[str, ...]) -> tuple[str, ...]:
    """The first list in which every name is there and stands once."""
    for names in candidates:
        if names and all(names) and len(set(names)) == len(names):
            return tuple(names)
    return ()
