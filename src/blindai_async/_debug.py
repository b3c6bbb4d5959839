"""What `debug_mode=True` turns on."""

from __future__ import annotations

import logging
import os

__all__ = ["log_everything"]


def log_everything() -> None:
    """Log this package and gRPC to stderr, for the whole process.

    gRPC reads its variables when its first channel is made: before that, or never.
    """
    logger = logging.getLogger("blindai_async")
    logger.setLevel(logging.DEBUG)
    if not logger.handlers and not logging.getLogger().handlers:
        logger.addHandler(logging.StreamHandler())
    os.environ.setdefault("GRPC_VERBOSITY", "DEBUG")
    os.environ.setdefault("GRPC_TRACE", "transport_security,http")
