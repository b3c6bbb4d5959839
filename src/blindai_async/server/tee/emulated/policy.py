"""The policy file for what a platform attests (TOML, as `Policy.from_str` reads it)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from blindai_async.server.tee.emulated.enclave_report import DEBUG, INIT
from blindai_async.server.tee.emulated.td_report import MIGRATABLE, SEPT_VE_DISABLE, TD_DEBUG

if TYPE_CHECKING:
    from collections.abc import Iterator

    from blindai_async.server.tee.emulated.enclave_report import EnclaveReport
    from blindai_async.server.tee.emulated.td_report import TdReport

__all__ = ["enclave_policy", "td_policy"]

# The masks of the policy that BlindAI 0.5 ships: DEBUG is judged by allow_debug, and XFRM features
# that only tell processors apart are not judged.
_FLAGS_MASK = 0xFFFFFFFFFFFFFFFD
_XFRM_MASK = 0xFFFFFFFFFFFFFF1B
_MISC_MASK = 0xFFFFFFFF


def enclave_policy(enclave: EnclaveReport) -> str:
    """Write the policy that accepts this enclave and no other.

    INIT is left out of the expected flags, since the format always demands it.
    """
    flags = enclave.attributes_flags & _FLAGS_MASK & ~INIT
    lines = (
        "# For the enclave of an emulated SGX platform: it proves nothing about hardware.",
        f'mr_enclave = "{enclave.mr_enclave.hex()}"',
        f'misc_select_hex = "{enclave.misc_select & _MISC_MASK:#x}"',
        f'misc_mask_hex = "{_MISC_MASK:#x}"',
        f'attributes_flags_hex = "{flags:#x}"',
        f'attributes_xfrm_hex = "{enclave.attributes_xfrm & _XFRM_MASK:#x}"',
        f'attributes_mask_flags_hex = "{_FLAGS_MASK:#x}"',
        f'attributes_mask_xfrm_hex = "{_XFRM_MASK:#x}"',
        f"allow_debug = {'true' if enclave.attributes_flags & DEBUG else 'false'}",
    )
    return "\n".join((*lines, ""))


def td_policy(td: TdReport) -> str:
    """Write the policy that accepts this TD, with what was measured into it, and no other."""
    lines = (
        "# For the TD of an emulated TDX platform: it proves nothing about hardware.",
        'tee = "tdx"',
        f'mr_td = "{td.mr_td.hex()}"',
        *(f'rtmr{number} = "{rtmr.hex()}"' for number, rtmr in enumerate(td.rtmrs)),
        f"allow_debug = {'true' if td.td_attributes & TD_DEBUG else 'false'}",
        *_exceptions(td),
    )
    return "\n".join((*lines, ""))


def _exceptions(td: TdReport) -> Iterator[str]:
    """Yield what a policy has to name, since it is refused where it is not named."""
    if not td.td_attributes & SEPT_VE_DISABLE:
        yield "require_sept_ve_disable = false"
    if td.td_attributes & MIGRATABLE:
        yield "allow_migratable = true"
    if td.mr_service_td is not None and any(td.mr_service_td):
        yield "allow_service_td = true"
