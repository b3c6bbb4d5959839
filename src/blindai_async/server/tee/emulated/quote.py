"""The quoting enclave, and the quotes that it makes (ECDSA quote, version 3).

Layout: SGX ECDSA Quote Library Reference, appendix A.4. A quote is
``header 48 | report 384 | length u32 | signature data``; the signature data is
``report signature 64 | attestation key 64 | QE report 384 | QE report signature 64 |
u16 n + authentication data n | certification type u16 | u32 m + certification data m``.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from blindai_async.server.tee.emulated.keys import raw_public_key, raw_signature

if TYPE_CHECKING:
    from collections.abc import Callable

    from blindai_async.server.tee.emulated.enclave_report import EnclaveReport
    from blindai_async.server.tee.emulated.keys import PrivateKey

__all__ = ["INTEL_VENDOR_ID", "PCK_CHAIN_PEM", "QuoteFormat", "QuotingEnclave"]

INTEL_VENDOR_ID = bytes.fromhex("939a7233f79c4ca9940a0db3957f0607")
PCK_CHAIN_PEM = 5

# version, attestation key type, TEE type, QE SVN, PCE SVN, vendor id, user data
_HEADER = struct.Struct("<H H I H H 16s 20s")


@dataclass(frozen=True, kw_only=True)
class QuoteFormat:
    """The quote's own fields and lengths. Each is a knob; header fields are signed as they are.

    Attributes:
        version: 3.
        key_type: 2, ECDSA-256 with P-256.
        tee_type: 0, SGX.
        qe_svn: of the quoting enclave, informative.
        pce_svn: of the provisioning certification enclave, informative.
        vendor_id: 16 bytes, Intel's.
        user_data: 20 bytes.
        signature_length: announced length of the signature data; None for the true one.
        authentication_length: announced length of the authentication data; None: true.
        certification_type: 5, the PCK chain in PEM.
        certification_data: None for the PCK chain, leaf first; `b""` for an empty chain.
        certification_length: announced length of the certification data; None: true.
        extra_signature_data: bytes after the certification data that the signature length counts.
        after_signing: turns the finished quote into what is handed out: cut it, append to it,
            flip a bit.
    """

    version: int = 3
    key_type: int = 2
    tee_type: int = 0
    qe_svn: int = 7
    pce_svn: int = 12
    vendor_id: bytes = INTEL_VENDOR_ID
    user_data: bytes = bytes(20)
    signature_length: int | None = None
    authentication_length: int | None = None
    certification_type: int = PCK_CHAIN_PEM
    certification_data: bytes | None = None
    certification_length: int | None = None
    extra_signature_data: bytes = b""
    after_signing: Callable[[bytes], bytes] | None = None

    def header(self) -> bytes:
        """Write the 48 bytes of the header."""
        return _HEADER.pack(
            self.version,
            self.key_type,
            self.tee_type,
            self.qe_svn,
            self.pce_svn,
            self.vendor_id,
            self.user_data,
        )

    def assemble(
        self, signed: bytes, signatures: bytes, authentication_data: bytes, pck_chain: bytes
    ) -> bytes:
        """Put the parts of a quote together.

        Args:
            signed: header and report body, 432 bytes.
            signatures: report signature, attestation key, QE report, QE report signature.
            authentication_data: of the quoting enclave.
            pck_chain: the certification data, unless the knob says otherwise.
        """
        chain = pck_chain if self.certification_data is None else self.certification_data
        data = b"".join(
            (
                signatures,
                struct.pack("<H", _announced(self.authentication_length, authentication_data)),
                authentication_data,
                struct.pack("<H", self.certification_type),
                struct.pack("<I", _announced(self.certification_length, chain)),
                chain,
                self.extra_signature_data,
            )
        )
        quote = signed + struct.pack("<I", _announced(self.signature_length, data)) + data
        return self.after_signing(quote) if self.after_signing else quote


def _announced(length: int | None, data: bytes) -> int:
    return len(data) if length is None else length


@dataclass(frozen=True, kw_only=True)
class QuotingEnclave:
    """The enclave that turns reports into quotes. Each field is a knob.

    Attributes:
        attestation_key: signs quotes; the PCK key vouches for it by way of the QE report.
        report: the enclave's own report.
        authentication_data: hashed together with the attestation key into the QE report.
        report_signing_key: signs the QE report in place of the PCK key: a forgery.
        quote_signing_key: signs quotes in place of the attestation key: a forgery.
        announced_key: the 64 bytes that stand as the attestation key; None for the true ones.
    """

    attestation_key: PrivateKey = field(repr=False)
    report: EnclaveReport
    authentication_data: bytes = bytes(range(32))
    report_signing_key: PrivateKey | None = field(default=None, repr=False)
    quote_signing_key: PrivateKey | None = field(default=None, repr=False)
    announced_key: bytes | None = None
    _certified: dict[PrivateKey, bytes] = field(
        init=False, repr=False, compare=False, default_factory=dict
    )

    def quote(
        self, report: bytes, *, pck_key: PrivateKey, pck_chain: bytes, layout: QuoteFormat
    ) -> bytes:
        """Sign the report body of another enclave; returns the quote."""
        signed = layout.header() + report
        signature = raw_signature(self.quote_signing_key or self.attestation_key, signed)
        certified_key = self._certified_key(self.report_signing_key or pck_key)
        return layout.assemble(
            signed, signature + certified_key, self.authentication_data, pck_chain
        )

    def _certified_key(self, certifier: PrivateKey) -> bytes:
        """Return attestation key, QE report and the report's signature, made once a certifier."""
        if certifier not in self._certified:
            public_key = self.announced_key or raw_public_key(self.attestation_key)
            digest = hashlib.sha256(public_key + self.authentication_data).digest()
            report = self.report.pack(report_data=digest)
            signed = public_key + report + raw_signature(certifier, report)
            self._certified.setdefault(certifier, signed)
        return self._certified[certifier]
