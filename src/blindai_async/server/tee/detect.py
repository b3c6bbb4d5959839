"""Which hardware this process runs on. Without any, that is an error, not a simulation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from blindai_async.server.tee.configfs_tsm import TSM_ROOT, ConfigfsTsm
from blindai_async.server.tee.errors import TeeError
from blindai_async.server.tee.gramine import ATTESTATION_ROOT, Gramine

if TYPE_CHECKING:
    import os

    from blindai_async.server.tee.platform import MachinePlatform

__all__ = ["TeeChoice", "open_platform"]

TeeChoice = Literal["auto", "tdx", "gramine"]

_TDX_DEVICE: Final = "/dev/tdx_guest"


def open_platform(
    choice: TeeChoice = "auto",
    *,
    tsm_root: str | os.PathLike[str] = TSM_ROOT,
    attestation_root: str | os.PathLike[str] = ATTESTATION_ROOT,
) -> MachinePlatform:
    """Open the hardware that this process runs on, and check that it can be asked for quotes.

    Args:
        choice: "tdx", "gramine", or "auto" for the one that is there. An enclave counts before the
            guest that it may run in: the enclave is what holds the keys.
        tsm_root: where a TDX guest's kernel takes requests.
        attestation_root: where Gramine has its files.

    Raises:
        TeeError: it is not there, or cannot be asked. "auto" takes nothing else in its place.
        ValueError: there is no such choice.
    """
    if choice == "tdx":
        return _checked(ConfigfsTsm(tsm_root))
    if choice == "gramine":
        return _checked(Gramine(attestation_root))
    if choice != "auto":
        raise ValueError(f'the choice is {choice!r}; it takes "auto", "tdx" or "gramine"')
    reasons = []
    for platform in (Gramine(attestation_root), ConfigfsTsm(tsm_root)):
        try:
            return _checked(platform)
        except TeeError as error:
            # What is there and cannot be asked is to be mended, not passed over.
            if error.reason != "missing":
                raise
            reasons.append(str(error))
    raise TeeError(
        f"no trusted execution environment was found. SGX: {reasons[0]}. TDX: {reasons[1]}. "
        "To try things out without one, serve with --emulate-tdx or --emulate-sgx",
        reason="missing",
    )


def _checked(platform: MachinePlatform) -> MachinePlatform:
    try:
        platform.check()
    except TeeError as error:
        # Who may not make a request cannot ask whose it would be; the driver's device tells.
        if error.reason == "permission" and error.tee is None and Path(_TDX_DEVICE).exists():
            error.tee = "tdx"
        raise
    return platform
