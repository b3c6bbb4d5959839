"""PEM armour (RFC 7468) around bytes that need not be well formed."""

from __future__ import annotations

import base64
import textwrap

__all__ = ["CERTIFICATE", "CRL", "armour"]

CERTIFICATE = "CERTIFICATE"
CRL = "X509 CRL"


def armour(label: str, der: bytes) -> str:
    """Wrap bytes in PEM, 64 characters a line; whether they are DER is not looked at."""
    lines = textwrap.wrap(base64.b64encode(der).decode(), 64)
    return "\n".join((f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""))
