"""An independent judge of evidence: the verifier of the `dcap-qvl` package."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

if TYPE_CHECKING:
    from datetime import datetime

    from blindai_async.server.tee.emulated import EmulatedPlatform, Evidence

__all__ = ["dcap_qvl", "judge", "verdict"]

dcap_qvl = pytest.importorskip("dcap_qvl", reason="the judge, dcap-qvl, is not installed")


def judge(evidence: Evidence, root_pem: bytes, at: datetime) -> Any:
    """Return the judge's report; it raises ValueError where it refuses the evidence."""
    c = evidence.collateral
    collateral = dcap_qvl.QuoteCollateralV3(
        c["pck_crl_issuer_chain"],
        _crl_der(c["root_ca_crl"]),
        _crl_der(c["pck_crl"]),
        c["tcb_info_issuer_chain"],
        *_signed_document(c["tcb_info"], "tcbInfo"),
        c["qe_identity_issuer_chain"],
        *_signed_document(c["qe_identity"], "enclaveIdentity"),
    )
    root = x509.load_pem_x509_certificate(root_pem).public_bytes(Encoding.DER)
    return dcap_qvl.verify_with_root_ca(evidence.quote, collateral, root, int(at.timestamp()))


def verdict(platform: EmulatedPlatform) -> Any:
    """Judge a platform's evidence at the moment around which it was laid."""
    return judge(platform.evidence(), platform.root_pem, platform.now)


def _signed_document(text: Any, member: str) -> tuple[str, bytes]:
    """Split a document into the signed text and the signature, as the judge wants them."""
    start, end = len(f'{{"{member}":'), text.rindex(',"signature":"')
    return text[start:end], bytes.fromhex(json.loads(text)["signature"])


def _crl_der(pem: Any) -> bytes:
    return x509.load_pem_x509_crl(pem.encode()).public_bytes(Encoding.DER)
