"""The kinds of trusted execution environment whose evidence is verified."""

from __future__ import annotations

from typing import Literal, TypeAlias

__all__ = ["Tee"]

Tee: TypeAlias = Literal["sgx", "tdx"]
"""An SGX enclave, or a TDX trust domain (TD)."""
