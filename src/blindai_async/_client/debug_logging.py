"""What `debug_mode=True` turns on."""

from __future__ import annotations

import logging
import os


def log_everything() -> None:
    """Log this package to stderr, and gRPC too where it can still be told to, in this process.

    gRPC reads its variables once, when it is loaded: with this package, at the latest. Where they
    were not set before, the log says so.
    """
    logger = logging.getLogger("blindai_async")
    logger.setLevel(logging.DEBUG)
    if not logger.handlers and not logging.getLogger().handlers:
        logger.addHandler(logging.StreamHandler())
    if "GRPC_VERBOSITY" not in os.environ:
        logger.debug(
            "for gRPC's own log, start Python with GRPC_VERBOSITY=DEBUG and "
            "GRPC_TRACE=connectivity_state,transport_security in its environment"
        )
