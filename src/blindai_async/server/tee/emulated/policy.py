"""The policy file for a platform's enclave (TOML, wire protocol, "Policy file")."""

from __future__ import annotations

from typing import TYPE_CHECKING

from blindai_async.server.tee.emulated.enclave_report import DEBUG, INIT

if TYPE_CHECKING:
    from blindai_async.server.tee.emulated.enclave_report import EnclaveReport

__all__ = ["policy_toml"]

# The masks of the policy that BlindAI 0.5 ships: DEBUG is judged by allow_debug, and XFRM features
# that only tell processors apart are not judged.
_FLAGS_MASK = 0xFFFFFFFFFFFFFFFD
_XFRM_MASK = 0xFFFFFFFFFFFFFF1B
_MISC_MASK = 0xFFFFFFFF


def policy_toml(enclave: EnclaveReport) -> str:
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
