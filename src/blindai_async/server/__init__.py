"""A BlindAI 0.5 server for development, tests and demos (extra ``[server]``).

::

    async with BlindAIServer(attested_port=0, untrusted_port=0) as server:
        ...  # connect to 127.0.0.1, server.attested_port and server.untrusted_port

The server is loaded at its first use: `blindai_async.server.tee.emulated` needs no ONNX Runtime.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from blindai_async.server.tee.platform import QuotingPlatform

if TYPE_CHECKING:
    from blindai_async.server.app import BlindAIServer
    from blindai_async.server.process import run_until_signalled, serve

__all__ = ["BlindAIServer", "QuotingPlatform", "run_until_signalled", "serve"]


_MODULES = {"BlindAIServer": "app", "run_until_signalled": "process", "serve": "process"}


if not TYPE_CHECKING:  # a checker is to see misspelt names

    def __getattr__(name: str) -> Any:
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        if "grpc" not in sys.modules:
            # gRPC writes a line to stderr for every peer that fails a handshake, past Python's
            # logging; whether it does, it reads once, when it is loaded.
            os.environ.setdefault("GRPC_VERBOSITY", "NONE")
        return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
