"""Quotes: a strict parser of versions 3, 4 and 5, of SGX enclaves and of TDX trust domains.

Source: Intel's "SGX ECDSA Quote Library Reference" (version 3) and "TDX DCAP Quoting Library API"
(versions 4 and 5; sgx_quote_4.h, sgx_quote_5.h). Integers are little-endian.

Every length is checked against what is there, and the quote ends where its last field ends: bytes
that no signature covers and nobody reads are room for an attacker's message. Zeros after a quote
of version 4 or 5 are such bytes with nothing in them: real buffers are padded with them.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from blindai_async.attestation.dcap.byte_reader import ByteReader
from blindai_async.attestation.dcap.reports import (
    SGX_REPORT_BYTES,
    TD_REPORT_10_BYTES,
    TD_REPORT_15_BYTES,
    Report,
    parse_report_body,
    parse_td_report,
)
from blindai_async.attestation.dcap.signature_data import SignatureData, parse_signature_data
from blindai_async.attestation.parsing import (
    MAX_QUOTE_BYTES,
    EvidenceError,
    UnsupportedEvidenceError,
)

if TYPE_CHECKING:
    from blindai_async.attestation.tee import Tee

__all__ = ["MAX_PADDING_BYTES", "Quote", "parse_quote"]

MAX_PADDING_BYTES: Final = 8 * 1024
"""How many zeros may follow a quote of version 4 or 5; real buffers have 8000 bytes."""

_ECDSA_P256: Final = 2
_TEES: Final[dict[int, Tee]] = {0x00: "sgx", 0x81: "tdx"}
_INTEL_QE_VENDOR: Final = bytes.fromhex("939a7233f79c4ca9940a0db3957f0607")
_CBOR_STARTS: Final = (b"\xd2", b"\xd8\x3d", b"\xd8\x12", b"\xd9\x01\x0b", b"\x84\x43", b"\x84\x44")
"""How CBOR web tokens start: a tag (COSE_Sign1, CWT, CMW), or the bare array of COSE_Sign1."""

_HEADER: Final = struct.Struct("<HHI4s16s20s")
_U32: Final = struct.Struct("<I")
_BODY_HEADER: Final = struct.Struct("<HI")
_BODY_SIZES: Final[dict[tuple[Tee, int], int]] = {
    ("sgx", 1): SGX_REPORT_BYTES,
    ("tdx", 2): TD_REPORT_10_BYTES,
    ("tdx", 3): TD_REPORT_15_BYTES,
}
"""Of version 5: the size of each type of body that a kind can have."""
_TD_REPORT_15EX_TYPE: Final = 4


class Quote(NamedTuple):
    """A quote, taken apart and not yet verified.

    Attributes:
        version: 3, 4 or 5.
        tee: the kind of environment that is attested.
        signed_part: header and report, what the attestation key signs.
        report: of the enclave or trust domain that is attested.
        signatures: what vouches for it.
        pck_chain: the PCK certificate chain in PEM; None where the quote only names the platform.
    """

    version: int
    tee: Tee
    signed_part: bytes
    report: Report
    signatures: SignatureData
    pck_chain: str | None


def parse_quote(data: bytes) -> Quote:
    """Take a quote apart.

    Raises:
        EvidenceError: it is not a whole quote with an ECDSA P-256 key, made by Intel's quoting
            enclave; or something follows it.
        UnsupportedEvidenceError: it is recognised as something that this package does not read.
    """
    if len(data) > MAX_QUOTE_BYTES:
        raise EvidenceError(f"the quote has more than {MAX_QUOTE_BYTES} bytes")
    if data.startswith(_CBOR_STARTS):
        raise UnsupportedEvidenceError("a CBOR web token (DICE evidence) is not supported")
    reader = ByteReader(data)
    version, tee = _read_header(reader.take(_HEADER.size, "header"))
    report, signed_bytes = _take_report(reader, version, tee)
    (length,) = _U32.unpack(reader.take(_U32.size, "signature data length"))
    signatures = parse_signature_data(reader.take(length, "signature data"), version)
    if version > 3:
        _check_padding(reader.rest())
    reader.expect_end("quote")
    return Quote(version, tee, data[:signed_bytes], report, signatures, signatures.pck_chain())


def _read_header(data: bytes) -> tuple[int, Tee]:
    version, key_type, tee_type, _, vendor, _ = _HEADER.unpack(data)
    if version not in (3, 4, 5):
        raise EvidenceError(f"the quote's version is {version}, not 3, 4 or 5")
    if key_type != _ECDSA_P256:
        raise EvidenceError(f"the attestation key type is {key_type}, not {_ECDSA_P256}")
    tee = _TEES.get(tee_type)
    if tee is None or (version == 3 and tee != "sgx"):
        raise EvidenceError(f"a quote of version {version} cannot have the TEE type {tee_type:#x}")
    if vendor != _INTEL_QE_VENDOR:
        raise EvidenceError(f"the quoting enclave's vendor is {vendor.hex()}, not Intel")
    return version, tee


def _take_report(reader: ByteReader, version: int, tee: Tee) -> tuple[Report, int]:
    """Take the report; returns it, and how many bytes of the quote are signed."""
    size = SGX_REPORT_BYTES if tee == "sgx" else TD_REPORT_10_BYTES
    signed_bytes = _HEADER.size
    if version == 5:
        body_type, announced = _BODY_HEADER.unpack(reader.take(_BODY_HEADER.size, "body header"))
        if (tee, body_type) == ("tdx", _TD_REPORT_15EX_TYPE):
            # No quote of a genuine platform is known to have it: its layout cannot be checked.
            raise UnsupportedEvidenceError("body type 4 (TD report 1.5Ex) is not supported", tee)
        known = _BODY_SIZES.get((tee, body_type))
        if known is None or announced != known:
            raise EvidenceError(
                f"body type {body_type} of {announced} bytes is none of a quote for {tee.upper()}"
            )
        size, signed_bytes = known, signed_bytes + _BODY_HEADER.size
    body = reader.take(size, "report")
    report = parse_report_body(body) if tee == "sgx" else parse_td_report(body)
    return report, signed_bytes + size


def _check_padding(padding: bytes) -> None:
    if len(padding) > MAX_PADDING_BYTES:
        raise EvidenceError(f"more than {MAX_PADDING_BYTES} bytes follow the quote")
    if padding.strip(b"\0"):
        raise EvidenceError("bytes other than zero follow the quote")
