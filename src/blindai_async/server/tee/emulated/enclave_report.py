"""The report body of an enclave: what the processor says of it.

Layout: SGX ECDSA Quote Library Reference, appendix A.4, "Enclave Report Body" (384 bytes).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

__all__ = ["DEBUG", "INIT", "MODE64BIT", "PROVISION_KEY", "EnclaveReport", "overwritten"]

INIT, DEBUG, MODE64BIT, PROVISION_KEY = 0x1, 0x2, 0x4, 0x10

# cpu_svn, misc_select, flags, xfrm, mr_enclave, mr_signer, isv_prod_id, isv_svn, report_data;
# the pad bytes are the reserved fields.
_LAYOUT = struct.Struct("<16s I 28x Q Q 32s 32x 32s 96x H H 60x 64s")


@dataclass(frozen=True, kw_only=True)
class EnclaveReport:
    """One report body. Each field is a knob; the defaults are those of a production enclave.

    Attributes:
        mr_enclave: measurement of the enclave's code and data, 32 bytes.
        mr_signer: hash of the key that signed the enclave, 32 bytes.
        isv_prod_id: product id.
        isv_svn: security version number.
        attributes_flags: INIT | MODE64BIT; with DEBUG the host can read the enclave's memory.
        attributes_xfrm: extended processor state in use.
        misc_select: extended state saved on exits.
        cpu_svn: 16 bytes.
        report_data: at most 64 bytes, zeros follow; None for what belongs there.
        overwrites: pairs (offset, bytes) written over the body before it is signed.
    """

    mr_enclave: bytes
    mr_signer: bytes
    isv_prod_id: int
    isv_svn: int
    attributes_flags: int = INIT | MODE64BIT
    attributes_xfrm: int = 0xE7
    misc_select: int = 0
    cpu_svn: bytes
    report_data: bytes | None = None
    overwrites: tuple[tuple[int, bytes], ...] = ()

    def pack(self, report_data: bytes) -> bytes:
        """Write the body.

        Args:
            report_data: what belongs into report_data where the field is None.
        """
        body = _LAYOUT.pack(
            self.cpu_svn,
            self.misc_select,
            self.attributes_flags,
            self.attributes_xfrm,
            self.mr_enclave,
            self.mr_signer,
            self.isv_prod_id,
            self.isv_svn,
            report_data if self.report_data is None else self.report_data,
        )
        return overwritten(body, self.overwrites)


def overwritten(data: bytes, overwrites: tuple[tuple[int, bytes], ...]) -> bytes:
    """Return the bytes with others written over them at the given offsets; the size is kept.

    Raises:
        ValueError: an overwrite does not lie within the data, or changes nothing.
    """
    spoiled = bytearray(data)
    for offset, patch in overwrites:
        end = offset + len(patch)
        if offset < 0 or end > len(data) or spoiled[offset:end] == patch:
            raise ValueError(f"{len(patch)} bytes at {offset} change nothing in {len(data)} bytes")
        spoiled[offset:end] = patch
    return bytes(spoiled)
