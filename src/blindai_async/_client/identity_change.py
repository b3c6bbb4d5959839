"""What is said when another enclave has taken the place of the one before."""

from __future__ import annotations

import logging
import warnings
from typing import TYPE_CHECKING

from blindai_async.errors import SimulationModeWarning

if TYPE_CHECKING:
    from collections.abc import Callable

    from blindai_async._client.handshake import Enclave
    from blindai_async.attestation import Claims

log = logging.getLogger("blindai_async")


class CallbackError(Exception):
    """Carries what the caller's own callback raised, to those who waited for the new enclave."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


def tell_of_change(
    known: Enclave,
    enclave: Enclave,
    callback: Callable[[Claims, Claims], object] | None,
) -> None:
    """Tell of an enclave with another identity, whose evidence has passed.

    Raises:
        CallbackError: with what the caller's callback raised, or a warning that is an error.
    """
    try:
        if enclave.claims is None:
            warnings.warn(
                "simulation mode: the server shows another certificate than before, and it is "
                "taken: nothing proves whose it is",
                SimulationModeWarning,
                stacklevel=2,
            )
            return
        log.warning(
            "the enclave has a new identity; its evidence passed, the channel is pinned to it"
        )
        if callback is not None and known.claims is not None:
            callback(known.claims, enclave.claims)
    except Exception as error:  # noqa: BLE001 - the caller's own; carried to those who waited
        raise CallbackError(error) from None
