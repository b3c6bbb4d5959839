"""What follows the report in a quote: its signatures, in one shape for all versions.

Versions 4 and 5 hold version 3's data in another order, within certification data of type 6
(Intel's "TDX DCAP Quoting Library API", sgx_quote_4.h). They are brought into version 3's shape
here, so that no step of the verification is written twice.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from blindai_async.attestation.dcap.byte_reader import ByteReader
from blindai_async.attestation.dcap.reports import SGX_REPORT_BYTES, ReportBody, parse_report_body
from blindai_async.attestation.parsing import EvidenceError

__all__ = ["SignatureData", "parse_signature_data"]

_PPID_TYPES: Final = frozenset({1, 2, 3})
"""The certification data names the platform; its certificate must come with the collateral."""
_PCK_CHAIN_TYPE: Final = 5
"""The certification data is the PCK certificate chain in PEM."""
_QE_REPORT_TYPE: Final = 6
"""The certification data is the QE's report, its signature, and certification data of its own."""

_FIRST_WRAPPED_VERSION: Final = 4
_U16: Final = struct.Struct("<H")
_CERTIFICATION: Final = struct.Struct("<HI")
_SIGNATURE_BYTES: Final = 64
_KEY_BYTES: Final = 64


class SignatureData(NamedTuple):
    """The signatures of a quote, taken apart and not yet verified.

    Attributes:
        signature: by the attestation key over the quote's signed part; raw r and s.
        attestation_key: the quoting enclave's key, raw x and y.
        qe_report: of the quoting enclave.
        qe_report_signature: by the PCK over the QE report; raw r and s.
        authentication_data: the quoting enclave's own, covered by its report data.
        certification_type: what the certification data are: 5 for the PCK chain.
        certification_data: as they stand.
    """

    signature: bytes
    attestation_key: bytes
    qe_report: ReportBody
    qe_report_signature: bytes
    authentication_data: bytes
    certification_type: int
    certification_data: bytes

    def pck_chain(self) -> str | None:
        """Return the PCK certificate chain in PEM; None where the quote only names the platform.

        Raises:
            EvidenceError: the certification data are of an unknown type, or not text.
        """
        if self.certification_type in _PPID_TYPES:
            return None
        if self.certification_type != _PCK_CHAIN_TYPE:
            raise EvidenceError(
                f"certification data of type {self.certification_type} is not known"
            )
        # Quoting libraries write the chain as a C string, with or without its terminating zero.
        text = self.certification_data.removesuffix(b"\0")
        if not text.isascii():
            raise EvidenceError("the certification data is not PEM text")
        return text.decode("ascii")


def parse_signature_data(data: bytes, version: int) -> SignatureData:
    """Take the signature data of a quote of this version apart.

    Raises:
        EvidenceError: they are cut off, or something follows them.
    """
    reader = ByteReader(data)
    signature = reader.take(_SIGNATURE_BYTES, "signature")
    attestation_key = reader.take(_KEY_BYTES, "attestation key")
    certified = reader
    if version >= _FIRST_WRAPPED_VERSION:
        kind, content = _certification(reader)
        reader.expect_end("certification data")
        if kind != _QE_REPORT_TYPE:
            raise EvidenceError(f"certification data of type {kind} stands where the QE report is")
        certified = ByteReader(content)
    qe_report = parse_report_body(certified.take(SGX_REPORT_BYTES, "QE report"))
    qe_report_signature = certified.take(_SIGNATURE_BYTES, "QE report signature")
    (length,) = _U16.unpack(certified.take(_U16.size, "authentication data length"))
    authentication_data = certified.take(length, "authentication data")
    kind, content = _certification(certified)
    certified.expect_end("certification data")
    return SignatureData(
        signature,
        attestation_key,
        qe_report,
        qe_report_signature,
        authentication_data,
        kind,
        content,
    )


def _certification(reader: ByteReader) -> tuple[int, bytes]:
    kind, length = _CERTIFICATION.unpack(
        reader.take(_CERTIFICATION.size, "certification data header")
    )
    return kind, reader.take(length, "certification data")
