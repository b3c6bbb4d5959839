"""PEM, read strictly: whole blocks of one kind, white space between them, and nothing else.

Lenient readers skip text between the blocks and blocks of other kinds; then what a person sees in
the file is not what the program has read.
"""

from __future__ import annotations

import binascii
import re
from typing import Final

from blindai_async.attestation.formats import EvidenceFormatError

__all__ = ["CERTIFICATE", "CRL", "read_pem"]

CERTIFICATE: Final = "CERTIFICATE"
CRL: Final = "X509 CRL"

_BLANK: Final = re.compile(r"[ \t\r\n]*")
_BLOCKS: Final = {
    label: re.compile(
        rf"-----BEGIN {label}-----\r?\n((?:[A-Za-z0-9+/=]+\r?\n)+)-----END {label}-----[ \t\r\n]*"
    )
    for label in (CERTIFICATE, CRL)
}
_LINE_ENDS: Final = str.maketrans("", "", "\r\n")


def read_pem(text: str, label: str, *, max_chars: int, max_blocks: int) -> list[bytes]:
    """Read the DER content of every block of a PEM text.

    Args:
        text: the PEM text.
        label: the only kind of block that may be in it, `CERTIFICATE` or `CRL`.
        max_chars: the longest text that is read at all.
        max_blocks: the most blocks there may be; there must be one.

    Raises:
        EvidenceFormatError: anything else.
    """
    if len(text) > max_chars:
        raise EvidenceFormatError(f"PEM: more than {max_chars} characters")
    position = _first_block(text)
    blocks: list[bytes] = []
    while position < len(text):
        block = _BLOCKS[label].match(text, position)
        if block is None:
            raise EvidenceFormatError(f"PEM: something else than blocks of kind {label}")
        if len(blocks) == max_blocks:
            raise EvidenceFormatError(f"PEM: more than {max_blocks} blocks")
        blocks.append(_decode_base64(block[1]))
        position = block.end()
    if not blocks:
        raise EvidenceFormatError(f"PEM: no block of kind {label}")
    return blocks


def _first_block(text: str) -> int:
    blank = _BLANK.match(text)
    return blank.end() if blank else 0


def _decode_base64(text: str) -> bytes:
    try:
        return binascii.a2b_base64(text.translate(_LINE_ENDS), strict_mode=True)
    except binascii.Error as error:
        raise EvidenceFormatError("PEM: not base64") from error
