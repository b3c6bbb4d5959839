"""The report of a trust domain: what the TDX module says of it.

Layout: Intel TDX DCAP Quoting Library API, appendix A.3.2, "TD Quote Body" (584 bytes for TDX 1.0,
648 for TDX 1.5).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from blindai_async.server.tee.emulated.enclave_report import overwritten

__all__ = ["MIGRATABLE", "SEPT_VE_DISABLE", "TD_DEBUG", "TdReport"]

TD_DEBUG, SEPT_VE_DISABLE, MIGRATABLE = 1 << 0, 1 << 28, 1 << 29

# tee_tcb_svn, mr_seam, mr_signer_seam, seam_attributes, td_attributes, xfam, mr_td, mr_config_id,
# mr_owner, mr_owner_config, rtmr0 to rtmr3, report_data
_LAYOUT = struct.Struct("<16s 48s 48s 8s Q Q 48s 48s 48s 48s 48s 48s 48s 48s 64s")
# What TDX 1.5 adds: tee_tcb_svn2, mr_service_td
_ADDED = struct.Struct("<16s 48s")


@dataclass(frozen=True, kw_only=True)
class TdReport:
    """One TD report. Each field is a knob; the defaults are those of a production TD.

    Attributes:
        tee_tcb_svn: 16 bytes: SVN and version of the TDX module, then those of the processor, as
            they were when the TD was launched.
        mr_seam: measurement of the TDX module, 48 bytes.
        mr_signer_seam: its signer, 48 bytes; zeros for Intel.
        seam_attributes: of the module, 8 bytes; zeros.
        td_attributes: SEPT_VE_DISABLE; with TD_DEBUG the host can read the TD's memory.
        xfam: extended processor state that the TD may use.
        mr_td: measurement of the TD's initial memory, 48 bytes.
        mr_config_id: 48 bytes that the host chose for the TD.
        mr_owner: likewise.
        mr_owner_config: likewise.
        rtmr0: measurements that are extended while the TD runs, 48 bytes; likewise `rtmr1`,
            `rtmr2` and `rtmr3`.
        tee_tcb_svn2: 16 bytes as of now, where the module was updated under the running TD;
            TDX 1.5 only: None there and in `mr_service_td` makes a report of TDX 1.0.
        mr_service_td: measurement of a TD that may migrate this one, 48 bytes; zeros for none.
        report_data: at most 64 bytes, zeros follow; None for what belongs there.
        overwrites: pairs (offset, bytes) written over the report before it is signed.
    """

    tee_tcb_svn: bytes
    mr_seam: bytes
    mr_signer_seam: bytes = bytes(48)
    seam_attributes: bytes = bytes(8)
    td_attributes: int = SEPT_VE_DISABLE
    xfam: int = 0x602E7
    mr_td: bytes
    mr_config_id: bytes = bytes(48)
    mr_owner: bytes = bytes(48)
    mr_owner_config: bytes = bytes(48)
    rtmr0: bytes
    rtmr1: bytes
    rtmr2: bytes
    rtmr3: bytes
    tee_tcb_svn2: bytes | None = None
    mr_service_td: bytes | None = None
    report_data: bytes | None = None
    overwrites: tuple[tuple[int, bytes], ...] = ()

    @property
    def rtmrs(self) -> tuple[bytes, bytes, bytes, bytes]:
        """The four run-time measurements."""
        return (self.rtmr0, self.rtmr1, self.rtmr2, self.rtmr3)

    def pack(self, report_data: bytes) -> bytes:
        """Write the report.

        Args:
            report_data: what belongs into report_data where the field is None.
        """
        report = _LAYOUT.pack(
            self.tee_tcb_svn,
            self.mr_seam,
            self.mr_signer_seam,
            self.seam_attributes,
            self.td_attributes,
            self.xfam,
            self.mr_td,
            self.mr_config_id,
            self.mr_owner,
            self.mr_owner_config,
            *self.rtmrs,
            report_data if self.report_data is None else self.report_data,
        )
        if self.tee_tcb_svn2 is not None or self.mr_service_td is not None:
            report += _ADDED.pack(self.tee_tcb_svn2 or b"", self.mr_service_td or b"")
        return overwritten(report, self.overwrites)
