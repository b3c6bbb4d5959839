"""The two kinds of report that a quote holds: of an SGX enclave, and of a TDX trust domain (TD).

Source: Intel's "SGX ECDSA Quote Library Reference" and "TDX DCAP Quoting Library API": the
structures of sgx_report.h, sgx_quote_4.h and sgx_quote_5.h. Integers are little-endian.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple, TypeAlias

from blindai_async.attestation.parsing import EvidenceError

__all__ = [
    "SGX_REPORT_BYTES",
    "TD_REPORT_10_BYTES",
    "TD_REPORT_15_BYTES",
    "Report",
    "ReportBody",
    "TdReport",
    "parse_report_body",
    "parse_td_report",
]

_SGX_REPORT: Final = struct.Struct("<16sI28x16s32s32x32s96xHH60x64s")
_TD_REPORT_10: Final = struct.Struct("<16s48s48s8s8s8s48s48s48s48s48s48s48s48s64s")
_TD_REPORT_15: Final = struct.Struct(_TD_REPORT_10.format + "16s48s")

SGX_REPORT_BYTES: Final = _SGX_REPORT.size
TD_REPORT_10_BYTES: Final = _TD_REPORT_10.size
TD_REPORT_15_BYTES: Final = _TD_REPORT_15.size

_RESERVED_DEBUG_BITS: Final = 0xFE


class ReportBody(NamedTuple):
    """What the processor measured and reports of one enclave.

    Attributes:
        raw: the 384 bytes as they are signed.
        misc_select: MISCSELECT, little-endian.
        attributes: flags and XFRM, 8 bytes each, little-endian.
        mr_enclave: measurement of the code.
        mr_signer: digest of the key that signed the enclave.
        isv_prod_id: the signer's product number.
        isv_svn: the product's security version.
        report_data: 64 bytes of the enclave's own choice.
    """

    raw: bytes
    misc_select: int
    attributes: bytes
    mr_enclave: bytes
    mr_signer: bytes
    isv_prod_id: int
    isv_svn: int
    report_data: bytes


class TdReport(NamedTuple):
    """What the TDX module measured and reports of one trust domain.

    Attributes:
        tee_tcb_svn: 16 security versions at the TD's launch; the first two are the TDX module's.
        mr_seam: measurement of the TDX module.
        mr_signer_seam: digest of the key that signed the module; zero for Intel's own.
        seam_attributes: the module's attributes, 8 bytes.
        td_attributes: the TD's attributes, 8 bytes; bit 0 of the first byte is DEBUG.
        xfam: which processor state the TD may use, 8 bytes.
        mr_td: measurement of the TD's initial contents.
        mr_config_id: of the owner's choice, for configuration.
        mr_owner: the owner.
        mr_owner_config: of the owner's choice.
        rtmrs: the four measurement registers that the TD extends while it runs.
        report_data: 64 bytes of the TD's own choice.
        tee_tcb_svn2: the security versions loaded now; None in a report of TDX 1.0.
        mr_service_td: measurement of the service TD bound to it; None in a report of TDX 1.0.
    """

    tee_tcb_svn: bytes
    mr_seam: bytes
    mr_signer_seam: bytes
    seam_attributes: bytes
    td_attributes: bytes
    xfam: bytes
    mr_td: bytes
    mr_config_id: bytes
    mr_owner: bytes
    mr_owner_config: bytes
    rtmrs: tuple[bytes, bytes, bytes, bytes]
    report_data: bytes
    tee_tcb_svn2: bytes | None
    mr_service_td: bytes | None


Report: TypeAlias = ReportBody | TdReport


def parse_report_body(data: bytes) -> ReportBody:
    """Take one SGX report body of 384 bytes apart."""
    _, misc_select, attributes, mr_enclave, mr_signer, isv_prod_id, isv_svn, report_data = (
        _SGX_REPORT.unpack(data)
    )
    return ReportBody(
        data, misc_select, attributes, mr_enclave, mr_signer, isv_prod_id, isv_svn, report_data
    )


def parse_td_report(data: bytes) -> TdReport:
    """Take one TD report apart: of TDX 1.0 (584 bytes) or of TDX 1.5 (648 bytes).

    Raises:
        EvidenceError: it sets reserved bits among those that make a TD a debug one: what they
            would give away is not known.
    """
    of_15 = len(data) == TD_REPORT_15_BYTES
    fields = (_TD_REPORT_15 if of_15 else _TD_REPORT_10).unpack(data)
    loaded: tuple[bytes | None, bytes | None] = fields[15:] if of_15 else (None, None)
    report = TdReport._make((*fields[:10], fields[10:14], fields[14], *loaded))
    if report.td_attributes[0] & _RESERVED_DEBUG_BITS:
        raise EvidenceError("the TD's attributes set reserved debug bits")
    return report
