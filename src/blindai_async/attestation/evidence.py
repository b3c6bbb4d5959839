"""The evidence that a server gives: quote, collateral, and the data that the enclave holds.

These are the bytes and texts as they came, checked for nothing: `verify_dcap_attestation` judges
them. The field names are those of the wire's messages.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict

__all__ = ["SgxCollateral", "SgxEvidence"]


class SgxCollateral(BaseModel):
    """What Intel has signed about the platform that made a quote, as the server passed it on.

    Attributes:
        version: of the collateral's format; 0 where the server gave none.
        pck_crl_issuer_chain: PEM, the platform CA and the root.
        root_ca_crl: the root's revocation list, PEM or DER in hex.
        pck_crl: the platform CA's revocation list, PEM or DER in hex.
        tcb_info_issuer_chain: PEM, the TCB signer and the root.
        tcb_info: signed JSON, version 2 or 3: which patch level has which status.
        qe_identity_issuer_chain: PEM, the TCB signer and the root.
        qe_identity: signed JSON: what Intel's quoting enclave looks like.
        pck_certificate: PEM, the platform's own certificate; "" where the quote carries it.
        pck_signing_chain: PEM, the platform CA and the root; "" where the quote carries them.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(
        defer_build=True, frozen=True, extra="forbid", strict=True
    )

    version: int = 0
    pck_crl_issuer_chain: str
    root_ca_crl: str
    pck_crl: str
    tcb_info_issuer_chain: str
    tcb_info: str
    qe_identity_issuer_chain: str
    qe_identity: str
    pck_certificate: str = ""
    pck_signing_chain: str = ""


class SgxEvidence(BaseModel):
    """All that a server's evidence reply holds.

    Attributes:
        quote: the quote, of an SGX enclave or a TDX trust domain.
        collateral: what is needed to judge the quote; None where the reply had none.
        enclave_held_data: what the quote's report data is the digest of: the enclave's TLS
            certificate, DER.
        nonce: what the client had asked with, 32 random bytes; b"" where it asked without. Never
            the server's word: a proof keeps it so that the quote's freshness can be judged again.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(
        defer_build=True,
        frozen=True,
        extra="forbid",
        strict=True,
        ser_json_bytes="base64",
        val_json_bytes="base64",
    )

    quote: bytes
    collateral: SgxCollateral | None
    enclave_held_data: bytes
    nonce: bytes = b""
