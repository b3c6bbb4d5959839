"""PEM, read strictly: whole blocks of one kind, white space between them, and nothing else.

Lenient readers skip text between the blocks and blocks of other kinds; then what a person sees in
the file is not what the program has read.
"""

from __future__ import annotations

import binascii
from typing import Final

from blindai_async.attestation.parsing import EvidenceError

__all__ = ["CERTIFICATE", "CRL", "read_pem"]

CERTIFICATE: Final = "CERTIFICATE"
CRL: Final = "X509 CRL"

_WHITE_SPACE: Final = " \t\r\n"


def read_pem(text: str, label: str, *, max_chars: int, max_blocks: int) -> list[bytes]:
    """Read the DER content of every block of a PEM text.

    Args:
        text: the PEM text.
        label: the only kind of block that may be in it, `CERTIFICATE` or `CRL`.
        max_chars: the longest text that is read at all.
        max_blocks: the most blocks there may be; there must be one.

    Raises:
        EvidenceError: anything else.
    """
    if len(text) > max_chars:
        raise EvidenceError(f"PEM: more than {max_chars} characters")
    before, *pieces = text.split(f"-----BEGIN {label}-----", max_blocks + 1)
    if not pieces or before.strip(_WHITE_SPACE):
        raise EvidenceError(f"PEM: the text does not begin with a block of kind {label}")
    if len(pieces) > max_blocks:
        raise EvidenceError(f"PEM: more than {max_blocks} blocks")
    return [_read_block(piece, f"-----END {label}-----") for piece in pieces]


def _read_block(piece: str, end: str) -> bytes:
    body, found_end, after = piece.partition(end)
    if not found_end or after.strip(_WHITE_SPACE):
        raise EvidenceError("PEM: a block does not end, or is not alone")
    try:
        return binascii.a2b_base64(body.replace("\r", "").replace("\n", ""), strict_mode=True)
    except ValueError as error:  # not base64, or not even ASCII
        raise EvidenceError("PEM: not base64") from error
