"""Models on disk, encrypted: what an enclave calls sealing, with a key file in place of the CPU's.

One file a model: ``magic (8) | nonce (12) | length of the id (4, big-endian) | id | AES-256-GCM``.
Everything before the ciphertext is associated data, so that a model cannot be passed off under
another id, and the file's name is a hash of the id, so that no id names a path.
"""

from __future__ import annotations

import hashlib
import logging
import os
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from blindai_async.server.storage.private_files import check_private, write_private

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["SealedModels"]

_MAGIC = b"BASEAL01"
_NONCE_SIZE = 12
_ID_START = len(_MAGIC) + _NONCE_SIZE + 4
_KEY_SIZE = 32

_logger = logging.getLogger(__name__)


class SealedModels:
    """The saved models of one directory.

    Args:
        directory: where `sealing.key` and the folder `models` are, or will be made.

    Raises:
        ValueError: the key file is damaged.
        PermissionError: others may read the key.
    """

    def __init__(self, directory: Path) -> None:
        self._folder = directory / "models"
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._cipher = AESGCM(_open_key(directory / "sealing.key"))

    def save(self, model_id: str, onnx_file: bytes) -> None:
        """Encrypt a model to its file, in place of an earlier one of the same id."""
        encoded_id = model_id.encode()
        nonce = os.urandom(_NONCE_SIZE)
        head = _MAGIC + nonce + len(encoded_id).to_bytes(4, "big") + encoded_id
        sealed = self._cipher.encrypt(nonce, onnx_file, head)
        write_private(self._path(model_id), head, sealed)

    def remove(self, model_id: str) -> None:
        """Delete a model's file, if there is one."""
        self._path(model_id).unlink(missing_ok=True)

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        """Every model that can be read, with its id; the others are logged and skipped."""
        for path in sorted(self._folder.glob("*.model")):
            try:
                yield self._open(path)
            except (OSError, ValueError, InvalidTag) as error:
                _logger.warning(
                    "saved model %s is skipped: %s",
                    path.name,
                    "it was changed, or sealed with another key"
                    if isinstance(error, InvalidTag)
                    else error,
                )

    def _open(self, path: Path) -> tuple[str, bytes]:
        content = path.read_bytes()
        if not content.startswith(_MAGIC) or len(content) < _ID_START:
            raise ValueError("it is not a sealed model")
        id_end = _ID_START + int.from_bytes(content[_ID_START - 4 : _ID_START], "big")
        nonce = content[len(_MAGIC) : len(_MAGIC) + _NONCE_SIZE]
        model = self._cipher.decrypt(nonce, content[id_end:], content[:id_end])
        model_id = content[_ID_START:id_end].decode()
        if path != self._path(model_id):
            raise ValueError("it holds another model than its name says")
        return model_id, model

    def _path(self, model_id: str) -> Path:
        return self._folder / f"{hashlib.sha256(model_id.encode()).hexdigest()}.model"


def _open_key(path: Path) -> bytes:
    if not path.exists():
        write_private(path, AESGCM.generate_key(_KEY_SIZE * 8))
    check_private(path)
    key = path.read_bytes()
    if len(key) != _KEY_SIZE:
        raise ValueError(f"{path} does not hold a key of {_KEY_SIZE} bytes")
    return key
