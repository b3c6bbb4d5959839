"""The SGX quote, version 3: a strict parser of its layout (sgx-dcap.md, "Quote, version 3").

Every length is checked against what is there, and the quote ends where its last field ends: bytes
that no signature covers and nobody reads are room for an attacker's message.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from blindai_async.attestation.parsing import MAX_QUOTE_BYTES, EvidenceError

__all__ = ["PCK_CHAIN_TYPE", "Quote", "ReportBody", "parse_quote"]

PCK_CHAIN_TYPE: Final = 5
"""The certification data is the PCK certificate chain in PEM, leaf first."""
_PPID_TYPES: Final = frozenset({1, 2, 3})
"""The certification data names the platform; its certificate must come with the collateral."""

_VERSION: Final = 3
_ECDSA_P256: Final = 2
_SGX: Final = 0
_INTEL_QE_VENDOR: Final = bytes.fromhex("939a7233f79c4ca9940a0db3957f0607")

_HEADER: Final = struct.Struct("<HHIHH16s20s")
_REPORT: Final = struct.Struct("<16sI28x16s32s32x32s96xHH60x64s")
_U16: Final = struct.Struct("<H")
_U32: Final = struct.Struct("<I")
_CERTIFICATION: Final = struct.Struct("<HI")
_SIGNATURE_BYTES: Final = 64
_KEY_BYTES: Final = 64
_SIGNED_BYTES: Final = _HEADER.size + _REPORT.size


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


class Quote(NamedTuple):
    """A quote, taken apart and not yet verified.

    Attributes:
        signed_part: header and report body, what the attestation key signs.
        report: of the enclave that is attested.
        signature: by the attestation key over `signed_part`; raw r and s.
        attestation_key: the quoting enclave's key, raw x and y.
        qe_report: of the quoting enclave.
        qe_report_signature: by the PCK over the QE report; raw r and s.
        authentication_data: the quoting enclave's own, covered by its report data.
        pck_chain: the PCK certificate chain in PEM; None where the quote only names the platform.
    """

    signed_part: bytes
    report: ReportBody
    signature: bytes
    attestation_key: bytes
    qe_report: ReportBody
    qe_report_signature: bytes
    authentication_data: bytes
    pck_chain: str | None


class _Reader:
    """Takes the next bytes, and never more than there are."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._offset = 0

    def take(self, size: int, what: str) -> bytes:
        end = self._offset + size
        if end > len(self._data):
            raise EvidenceError(f"the quote ends within its {what}")
        taken = self._data[self._offset : end]
        self._offset = end
        return taken

    def expect_end(self, what: str) -> None:
        if self._offset != len(self._data):
            raise EvidenceError(f"{len(self._data) - self._offset} bytes follow the {what}")


def parse_quote(data: bytes) -> Quote:
    """Take a quote apart.

    Raises:
        EvidenceError: it is not a whole SGX quote of version 3 with an ECDSA P-256 key, made
            by Intel's quoting enclave; or something follows it.
    """
    if len(data) > MAX_QUOTE_BYTES:
        raise EvidenceError(f"the quote has more than {MAX_QUOTE_BYTES} bytes")
    reader = _Reader(data)
    _check_header(reader.take(_HEADER.size, "header"))
    report = parse_report_body(reader.take(_REPORT.size, "report body"))
    (length,) = _U32.unpack(reader.take(_U32.size, "signature data length"))
    signatures = _Reader(reader.take(length, "signature data"))
    reader.expect_end("quote")
    signature = signatures.take(_SIGNATURE_BYTES, "signature")
    attestation_key = signatures.take(_KEY_BYTES, "attestation key")
    qe_report = parse_report_body(signatures.take(_REPORT.size, "QE report"))
    qe_report_signature = signatures.take(_SIGNATURE_BYTES, "QE report signature")
    (length,) = _U16.unpack(signatures.take(_U16.size, "authentication data length"))
    authentication_data = signatures.take(length, "authentication data")
    kind, length = _CERTIFICATION.unpack(
        signatures.take(_CERTIFICATION.size, "certification data header")
    )
    certification_data = signatures.take(length, "certification data")
    signatures.expect_end("certification data")
    return Quote(
        signed_part=data[:_SIGNED_BYTES],
        report=report,
        signature=signature,
        attestation_key=attestation_key,
        qe_report=qe_report,
        qe_report_signature=qe_report_signature,
        authentication_data=authentication_data,
        pck_chain=_pck_chain(kind, certification_data),
    )


def _check_header(data: bytes) -> None:
    version, key_type, tee_type, _, _, vendor, _ = _HEADER.unpack(data)
    if version != _VERSION:
        raise EvidenceError(f"the quote's version is {version}, not {_VERSION}")
    if key_type != _ECDSA_P256:
        raise EvidenceError(f"the attestation key type is {key_type}, not {_ECDSA_P256}")
    if tee_type != _SGX:
        raise EvidenceError(f"the TEE type is {tee_type}, not {_SGX} (SGX)")
    if vendor != _INTEL_QE_VENDOR:
        raise EvidenceError(f"the quoting enclave's vendor is {vendor.hex()}, not Intel")


def parse_report_body(data: bytes) -> ReportBody:
    """Take one report body of 384 bytes apart."""
    _, misc_select, attributes, mr_enclave, mr_signer, isv_prod_id, isv_svn, report_data = (
        _REPORT.unpack(data)
    )
    return ReportBody(
        data, misc_select, attributes, mr_enclave, mr_signer, isv_prod_id, isv_svn, report_data
    )


def _pck_chain(kind: int, data: bytes) -> str | None:
    if kind in _PPID_TYPES:
        return None
    if kind != PCK_CHAIN_TYPE:
        raise EvidenceError(f"certification data of type {kind} is not known")
    # Quoting libraries write the chain as a C string, with or without its terminating zero.
    text = data.removesuffix(b"\0")
    if not text.isascii():
        raise EvidenceError("the certification data is not PEM text")
    return text.decode("ascii")
