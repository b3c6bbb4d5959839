"""The parts of collateral: read as strictly as the verifier reads them, and trusted for nothing.

What is checked here is that an answer is what was asked for, whole, and signed by the issuers that
came with it. Whether those are Intel's is for the verification to say, as with all evidence.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

from blindai_async.attestation.dcap.signed_json import parse_signed_json
from blindai_async.attestation.parsing import (
    MAX_CHAIN_CHARS,
    MAX_CRL_CHARS,
    MAX_JSON_CHARS,
    EvidenceError,
    excerpt,
    parse_timestamp,
)
from blindai_async.attestation.x509.certificates import (
    Certificate,
    common_name,
    parse_certificate,
    split_chain,
    verify_signature,
)
from blindai_async.attestation.x509.chains import PCK_CAS, TCB_SIGNER, read_issuers
from blindai_async.attestation.x509.crl import RevocationList, parse_crl

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from blindai_async.collateral.platforms import Tee

__all__ = [
    "MAX_BODY_BYTES",
    "Kind",
    "Part",
    "PartReader",
    "crl_text",
    "read_pck_certificate",
    "read_pck_crl",
    "read_qe_identity",
    "read_root_crl",
    "read_tcb_info",
]

Kind = Literal["TCB info", "QE identity", "PCK CRL", "root CRL", "PCK certificate"]

MAX_BODY_BYTES: Final[dict[Kind, int]] = {
    "TCB info": MAX_JSON_CHARS,
    "QE identity": MAX_JSON_CHARS,
    "PCK CRL": MAX_CRL_CHARS,
    "root CRL": MAX_CRL_CHARS,
    "PCK certificate": MAX_CHAIN_CHARS,
}
"""The largest answer that is read at all; the verifier would refuse what is larger."""

_JSON_IDS: Final[dict[tuple[str, Tee], str]] = {
    ("tcbInfo", "sgx"): "SGX",
    ("tcbInfo", "tdx"): "TDX",
    ("enclaveIdentity", "sgx"): "QE",
    ("enclaveIdentity", "tdx"): "TD_QE",
}


@dataclass(frozen=True, slots=True)
class Part:
    """One part of collateral, and what it says of itself.

    Attributes:
        kind: which part.
        text: as `SgxCollateral` holds it.
        issuer_chain: PEM, its signer first; "" for the root's revocation list.
        issuer: the common name of who has signed it.
        valid_from: when it was issued.
        valid_until: when a newer one is due, or the first of its issuers expires.
        evaluation_number: which of Intel's assessments TCB info and QE identity are of; None where
            there is no such number.
    """

    kind: Kind
    text: str
    issuer_chain: str
    issuer: str
    valid_from: datetime
    valid_until: datetime
    evaluation_number: int | None = None


class PartReader(Protocol):
    """Makes a part of an answer's body and its issuers' chain."""

    def __call__(self, body: bytes, chain: str, /) -> Part:
        """Return the part, or raise `EvidenceError`."""
        ...


def read_tcb_info(body: bytes, chain: str, *, tee: Tee | None, fmspc: bytes | None) -> Part:
    """Read a TCB info, of a kind and a family of platforms where they are named.

    Raises:
        EvidenceError: it is another one, malformed, or not signed by its issuer.
    """
    content, part = _signed_json("TCB info", "tcbInfo", body, chain, tee)
    found = content.get("fmspc")
    if fmspc is not None and (not isinstance(found, str) or found.lower() != fmspc.hex()):
        raise EvidenceError(f"it is of FMSPC {excerpt(found)}, not of {fmspc.hex()}")
    return part


def read_qe_identity(body: bytes, chain: str, *, tee: Tee | None) -> Part:
    """Read the identity of a quoting enclave, of a kind where that is named.

    Raises:
        EvidenceError: it is another one, malformed, or not signed by its issuer.
    """
    return _signed_json("QE identity", "enclaveIdentity", body, chain, tee)[1]


def read_pck_crl(body: bytes, chain: str) -> Part:
    """Read the revocation list of a platform CA.

    Raises:
        EvidenceError: it is another one, malformed, or not signed by its issuer.
    """
    text, crl = _crl(body)
    issuers = _issuers(chain, PCK_CAS)
    issuer = issuers[0]
    if not crl.is_signed_by(issuer):
        raise EvidenceError(f"it is not signed by {issuer.name!a}, the issuer that came with it")
    until = min(crl.next_update, *(one.not_after for one in issuers))
    return Part("PCK CRL", text, chain, issuer.name, crl.last_update, until)


def read_root_crl(body: bytes, chain: str = "") -> Part:
    """Read the revocation list of the root, which comes without a chain: nothing signs the root.

    Raises:
        EvidenceError: it is something else, or malformed.
    """
    if chain:
        raise EvidenceError("it has an issuers' chain")
    text, crl = _crl(body)
    return Part("root CRL", text, "", common_name(crl.issuer), crl.last_update, crl.next_update)


def read_pck_certificate(body: bytes, chain: str) -> Part:
    """Read the certificate of one platform.

    Raises:
        EvidenceError: it is another one, malformed, or not signed by its issuer.
    """
    text = _ascii(body)
    certificates = split_chain(text)
    if len(certificates) != 1:
        raise EvidenceError(f"there are {len(certificates)} certificates, not one")
    pck, issuers = parse_certificate(certificates[0]), _issuers(chain, PCK_CAS)
    if pck.sgx_extension is None:
        raise EvidenceError(f"{pck.name!a} is not a platform's certificate")
    if not pck.is_signed_by(issuers[0]):
        raise EvidenceError(f"it is not signed by {issuers[0].name!a}, the issuer that came along")
    until = min(pck.not_after, *(one.not_after for one in issuers))
    return Part("PCK certificate", text, chain, issuers[0].name, pck.not_before, until)


def crl_text(body: bytes) -> str:
    """Bring a CRL into text, PEM or DER in hex: services give either, and DER.

    Raises:
        EvidenceError: PEM that is malformed, or not ASCII and not DER.
    """
    if body[:1] == b"\x30" and not body.isalnum():  # a DER SEQUENCE; in hex it begins with "3"
        return body.hex()
    text = _ascii(body)
    return text if text.lstrip().startswith("-----BEGIN") else text.strip()


def _crl(body: bytes) -> tuple[str, RevocationList]:
    text = crl_text(body)
    return text, parse_crl(text)


def _signed_json(
    kind: Kind, name: str, body: bytes, chain: str, tee: Tee | None
) -> tuple[dict[str, Any], Part]:
    text = _ascii(body)
    if text.lstrip()[:1] == "<":
        raise EvidenceError("it is HTML or XML, not JSON: did a proxy or a login page answer?")
    source = parse_signed_json(text, name)
    content = source.content
    expected = None if tee is None else _JSON_IDS[name, tee]
    # TCB info of version 2 has no id: it was written before there was anything else than SGX.
    found = content.get("id", "SGX" if content.get("version") == 2 else None)
    if expected is not None and found != expected:
        raise EvidenceError(f"it is for {excerpt(found)}, not for {expected}")
    issuers = _issuers(chain, {TCB_SIGNER})
    signer = issuers[0]
    if not verify_signature(signer.key, source.signature, source.signed_part):
        raise EvidenceError("it is not signed by the issuer that came with it")
    number = content.get("tcbEvaluationDataNumber")
    return content, Part(
        kind,
        text,
        chain,
        signer.name,
        parse_timestamp(content.get("issueDate")),
        min(parse_timestamp(content.get("nextUpdate")), *(one.not_after for one in issuers)),
        number if isinstance(number, int) else None,
    )


def _issuers(chain: str, names: Collection[str]) -> list[Certificate]:
    """Read an issuers' chain that is whole: from one of `names` up to what signs itself."""
    issuers = read_issuers(chain)
    if issuers[0].name not in names:
        raise EvidenceError(f"its issuer is {issuers[0].name!a}, not {' or '.join(sorted(names))}")
    if not all(one.is_signed_by(by) for one, by in pairwise([*issuers, issuers[-1]])):
        raise EvidenceError("its issuers' chain does not lead to a root")
    return issuers


def _ascii(body: bytes) -> str:
    try:
        return body.decode("ascii")
    except UnicodeDecodeError as error:
        raise EvidenceError("it is not ASCII text") from error
