"""The models the server has: loaded ones in memory, saved ones also on disk.

Every change is made by one thread, so that two uploads of the same id, or an upload
and a deletion, happen one after the other. Looking a model up is a dictionary's `get` and may be
done anywhere.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from blindai_async.server.inference.onnx_runtime import Model
from blindai_async.server.status_errors import RefusalError, invalid_argument, unknown

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from blindai_async.server.storage.sealed_models import SealedModels

__all__ = ["ModelStore"]

_logger = logging.getLogger(__name__)


class ModelStore:
    """Models by id.

    Args:
        sealed: where models are saved.
        inference_threads: how many threads one inference may use.
    """

    def __init__(self, sealed: SealedModels, *, inference_threads: int = 1) -> None:
        self._sealed = sealed
        self._inference_threads = inference_threads
        self._models: dict[str, Model] = {}

    def get(self, model_id: str) -> Model:
        """The loaded model of that id.

        Raises:
            RefusalError: INVALID_ARGUMENT "Model doesn't exist".
        """
        try:
            return self._models[model_id]
        except KeyError:
            raise invalid_argument("Model doesn't exist") from None

    def load_saved(self) -> None:
        """Load what earlier runs saved. What is damaged is logged and skipped."""
        for model_id, onnx_file in self._sealed:
            try:
                self._models[model_id] = self._load(onnx_file)
            except RefusalError as refusal:
                _logger.warning("saved model %r is skipped: %s", model_id, refusal.details)

    def load_files(self, paths: Mapping[str, Path]) -> None:
        """Load models from files that the operator named.

        Raises:
            OSError: a file cannot be read.
            ValueError: a file is not a model that runs here.
        """
        for model_id, path in paths.items():
            try:
                self._models[model_id] = self._load(path.read_bytes())
            except RefusalError as refusal:
                raise ValueError(f"model {model_id!r} ({path}): {refusal.details}") from refusal

    def add(self, model_id: str, onnx_file: bytes, *, save: bool) -> Model:
        """Load an uploaded model, in place of an earlier one of the same id.

        Raises:
            RefusalError: it does not load, or cannot be saved; the earlier one then stays.
        """
        model = self._load(onnx_file)
        try:
            if save:
                self._sealed.save(model_id, onnx_file)
            else:
                # An older saved model of this id would otherwise come back after a restart.
                self._sealed.remove(model_id)
        except OSError as error:
            _logger.warning("model %r cannot be saved: %s", model_id, error)
            raise unknown("The model could not be saved") from error
        self._models[model_id] = model
        return model

    def delete(self, model_id: str) -> None:
        """Forget a model, in memory and on disk. An unknown id is no error.

        Raises:
            RefusalError: its file cannot be removed; it then stays.
        """
        try:
            self._sealed.remove(model_id)
        except OSError as error:
            _logger.warning("model %r cannot be removed: %s", model_id, error)
            raise unknown("The model could not be removed") from error
        self._models.pop(model_id, None)

    def _load(self, onnx_file: bytes) -> Model:
        return Model(onnx_file, threads=self._inference_threads)
