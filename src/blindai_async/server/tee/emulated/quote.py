"""The quoting enclave, and the quotes that it makes (ECDSA quote, versions 3, 4 and 5).

Layout: SGX ECDSA Quote Library Reference, appendix A.4 (version 3); TDX DCAP Quoting Library API,
appendix A.3 (versions 4 and 5). A quote is ``header 48 | body | length u32 | signature data``.

The body of versions 3 and 4 is the report; that of version 5 is
``type u16 | size u32 | report``. The signature data of version 3 is
``signature 64 | attestation key 64 | certificate of that key``, where the key's certificate is
``QE report 384 | QE report signature 64 | u16 n + authentication data n | certification type u16 |
u32 m + certification data m``. In versions 4 and 5 the key's certificate stands in a wrapper, as
certification data of type 6: ``u16 6 | u32 size | certificate of that key``.
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

__all__ = ["INTEL_VENDOR_ID", "PCK_CHAIN_PEM", "QuoteFormat", "QuotingEnclave", "quote_format"]

INTEL_VENDOR_ID = bytes.fromhex("939a7233f79c4ca9940a0db3957f0607")
PCK_CHAIN_PEM = 5
QE_REPORT_CERTIFICATION = 6

# version, attestation key type, TEE type, QE SVN, PCE SVN, vendor id, user data
_HEADER = struct.Struct("<H H I H H 16s 20s")


@dataclass(frozen=True, kw_only=True)
class QuoteFormat:
    """The quote's own fields and lengths. Each is a knob; header fields are signed as they are.

    Attributes:
        version: 3, 4 or 5. The number alone: `body_type` and `wrapper_type` make the layout.
        key_type: 2, ECDSA-256 with P-256.
        tee_type: 0, SGX, or 0x81, TDX.
        qe_svn: of the quoting enclave, informative; 0 from version 4 on, where it is reserved.
        pce_svn: of the provisioning certification enclave; likewise.
        vendor_id: 16 bytes, Intel's.
        user_data: 20 bytes.
        body_type: 1 SGX, 2 TDX 1.0, 3 TDX 1.5, written with the body's size before the report, as
            version 5 has it; None writes neither.
        body_size: announced size of the report after `body_type`; None for the true one.
        signature_length: announced length of the signature data; None for the true one.
        authentication_length: announced length of the authentication data; None: true.
        certification_type: 5, the PCK chain in PEM.
        certification_data: None for the PCK chain, leaf first; `b""` for an empty chain.
        certification_length: announced length of the certification data; None: true.
        wrapper_type: 6, around the attestation key's certificate, as versions 4 and 5 have it;
            None: no wrapper.
        wrapper_length: announced length of the wrapped data; None: true.
        extra_wrapped_data: bytes after the certification data that the wrapper's length counts.
        extra_signature_data: bytes at the end that the signature length counts.
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
    body_type: int | None = None
    body_size: int | None = None
    signature_length: int | None = None
    authentication_length: int | None = None
    certification_type: int = PCK_CHAIN_PEM
    certification_data: bytes | None = None
    certification_length: int | None = None
    wrapper_type: int | None = None
    wrapper_length: int | None = None
    extra_wrapped_data: bytes = b""
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

    def body(self, report: bytes) -> bytes:
        """Write what stands between header and signature data: the report, maybe with its type."""
        if self.body_type is None:
            return report
        return struct.pack("<HI", self.body_type, _announced(self.body_size, report)) + report

    def assemble(
        self,
        signed: bytes,
        signature_and_key: bytes,
        qe_report: bytes,
        authentication_data: bytes,
        pck_chain: bytes,
    ) -> bytes:
        """Put the parts of a quote together.

        Args:
            signed: header and body.
            signature_and_key: the signature of that, and the attestation key.
            qe_report: the quoting enclave's report and its signature.
            authentication_data: of the quoting enclave.
            pck_chain: the certification data, unless the knob says otherwise.
        """
        chain = pck_chain if self.certification_data is None else self.certification_data
        certificate = b"".join(
            (
                qe_report,
                struct.pack("<H", _announced(self.authentication_length, authentication_data)),
                authentication_data,
                struct.pack(
                    "<HI", self.certification_type, _announced(self.certification_length, chain)
                ),
                chain,
                self.extra_wrapped_data,
            )
        )
        if self.wrapper_type is not None:
            length = _announced(self.wrapper_length, certificate)
            certificate = struct.pack("<HI", self.wrapper_type, length) + certificate
        data = signature_and_key + certificate + self.extra_signature_data
        quote = signed + struct.pack("<I", _announced(self.signature_length, data)) + data
        return self.after_signing(quote) if self.after_signing else quote


def _announced(length: int | None, data: bytes) -> int:
    return len(data) if length is None else length


def quote_format(version: int, *, tee_type: int, body_type: int) -> QuoteFormat:
    """Describe sound quotes of a version.

    Args:
        version: 3, 4 or 5.
        tee_type: 0, SGX, or 0x81, TDX.
        body_type: the report's; only version 5 writes it.
    """
    if version < 4:
        return QuoteFormat(version=version, tee_type=tee_type)
    return QuoteFormat(
        version=version,
        tee_type=tee_type,
        qe_svn=0,
        pce_svn=0,
        body_type=None if version < 5 else body_type,
        wrapper_type=QE_REPORT_CERTIFICATION,
    )


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
    _reports: dict[PrivateKey, bytes] = field(
        init=False, repr=False, compare=False, default_factory=dict
    )

    def quote(
        self, report: bytes, *, pck_key: PrivateKey, pck_chain: bytes, layout: QuoteFormat
    ) -> bytes:
        """Sign the report of another enclave or of a TD; returns the quote."""
        signed = layout.header() + layout.body(report)
        signature = raw_signature(self.quote_signing_key or self.attestation_key, signed)
        public_key = self.announced_key or raw_public_key(self.attestation_key)
        return layout.assemble(
            signed,
            signature + public_key,
            self._certified(self.report_signing_key or pck_key, public_key),
            self.authentication_data,
            pck_chain,
        )

    def _certified(self, certifier: PrivateKey, public_key: bytes) -> bytes:
        """Return the QE report with its signature, made once a certifier."""
        if certifier not in self._reports:
            digest = hashlib.sha256(public_key + self.authentication_data).digest()
            report = self.report.pack(report_data=digest)
            self._reports.setdefault(certifier, report + raw_signature(certifier, report))
        return self._reports[certifier]
