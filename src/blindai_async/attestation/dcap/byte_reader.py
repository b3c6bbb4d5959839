"""A reader of binary structures that never takes more bytes than there are."""

from __future__ import annotations

from blindai_async.attestation.parsing import EvidenceError

__all__ = ["ByteReader"]


class ByteReader:
    """Takes one field after another from the bytes of a quote."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._offset = 0

    def take(self, size: int, what: str) -> bytes:
        """Take the next `size` bytes.

        Raises:
            EvidenceError: there are fewer; it names `what` they should have been.
        """
        end = self._offset + size
        if end > len(self._data):
            raise EvidenceError(f"the quote ends within its {what}")
        taken = self._data[self._offset : end]
        self._offset = end
        return taken

    def rest(self) -> bytes:
        """Take everything that is left."""
        taken = self._data[self._offset :]
        self._offset = len(self._data)
        return taken

    def expect_end(self, what: str) -> None:
        """Demand that nothing is left.

        Raises:
            EvidenceError: something follows `what`.
        """
        if self._offset != len(self._data):
            raise EvidenceError(f"{len(self._data) - self._offset} bytes follow the {what}")
