"""PEM armour (RFC 7468) around bytes that need not be well formed."""

from __future__ import annotations

import base64

__all__ = ["CERTIFICATE", "CRL", "armour"]

CERTIFICATE = "CERTIFICATE"
CRL = "X509 CRL"


def armour(label: str, der: bytes) -> str:
    """Wrap bytes in PEM, 64 characters a line; whether they are DER is not looked at."""
    text = base64.b64encode(der).decode()
    lines = (text[start : start + 64] for start in range(0, len(text), 64))
    return "\n".join((f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""))
