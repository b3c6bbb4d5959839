"""What a PCCS answers: a request's path and parameters in, status, headers and body out."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, quote

from blindai_async.server.tee.emulated import pem
from blindai_async.server.tee.emulated.sgx_extension import SgxExtension

if TYPE_CHECKING:
    from collections.abc import Callable

    from blindai_async.server.tee.emulated.emulated import EmulatedPlatform
    from blindai_async.server.tee.emulated.pccs.editions import Editions

__all__ = ["Answer", "answer", "issuer_header"]

_PATH = re.compile(r"/(?P<tee>sgx|tdx)/certification/v(?P<version>[34])/(?P<what>[a-z/]+)")
_ROOT_CRL_PATH = "/IntelSGXRootCA.der"
_ENCRYPTED_PPID_SIZE = 384


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One answer.

    Attributes:
        status: of HTTP.
        headers: all but those that HTTP itself needs.
        body: as it is sent.
    """

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


_BAD_REQUEST, _NOT_FOUND, _GONE = Answer(status=400), Answer(status=404), Answer(status=410)

Parameters = dict[str, str]


def issuer_header(chain: str) -> str:
    """Write an issuer chain as a header carries it: PEM, URL-encoded."""
    return quote(chain, safe="")


def answer(editions: Editions, target: str) -> Answer:
    """Answer a request for a platform's collateral.

    Args:
        editions: of the only platform that the service knows.
        target: path and query, as they stand in the request.
    """
    path, _, query = target.partition("?")
    try:
        given = parse_qs(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError:
        return _BAD_REQUEST
    if any(len(values) > 1 for values in given.values()):
        return _BAD_REQUEST
    parameters = {name: values[0] for name, values in given.items()}
    if path == _ROOT_CRL_PATH:
        return _binary(_root_crl(editions))
    match = _PATH.fullmatch(path)
    if match is None:
        return _NOT_FOUND
    if match["version"] == "3":
        return _GONE  # shut down on 2026-04-30
    by_path = _OF_TEE if match["what"] in _OF_TEE else _OF_SGX if match["tee"] == "sgx" else {}
    handler = by_path.get(match["what"])
    if handler is None or (by_path is _OF_TEE and match["tee"] != editions.standard.tee):
        return _NOT_FOUND
    return handler(editions, parameters)


def _tcb(editions: Editions, parameters: Parameters) -> Answer:
    fmspc = parameters.pop("fmspc", "")
    if not re.fullmatch("[0-9a-fA-F]{12}", fmspc):
        return _BAD_REQUEST
    edition = _edition(editions, parameters)
    if isinstance(edition, Answer):
        return edition
    info = edition.blueprint.tcb_info
    if fmspc.lower() != info.fmspc.hex():
        return _NOT_FOUND
    text = info.text(edition.blueprint.pki.tcb_signer.key)
    return _signed(edition, "TCB-Info-Issuer-Chain", text)


def _qe_identity(editions: Editions, parameters: Parameters) -> Answer:
    edition = _edition(editions, parameters)
    if isinstance(edition, Answer):
        return edition
    text = edition.blueprint.qe_identity.text(edition.blueprint.pki.tcb_signer.key)
    return _signed(edition, "SGX-Enclave-Identity-Issuer-Chain", text)


def _evaluation_numbers(editions: Editions, parameters: Parameters) -> Answer:
    if parameters:
        return _BAD_REQUEST
    header = "TCB-Evaluation-Data-Numbers-Issuer-Chain"
    return _signed(editions.standard, header, editions.evaluation_numbers)


def _pck_crl(editions: Editions, parameters: Parameters) -> Answer:
    ca, encoding = parameters.get("ca"), parameters.get("encoding", "pem")
    if ca not in {"platform", "processor"} or encoding not in {"pem", "der"}:
        return _BAD_REQUEST
    platform = editions.standard
    if ca != platform.identity.pck_ca.value:
        return _NOT_FOUND
    pki = platform.blueprint.pki
    der = platform.blueprint.crls.pck.issue(pki.intermediate)
    chain = {"SGX-PCK-CRL-Issuer-Chain": issuer_header(pki.pem("intermediate", "root"))}
    if encoding == "der":
        return _binary(der, chain)
    return _pem(pem.armour(pem.CRL, der), chain)


def _root_ca_crl(editions: Editions, parameters: Parameters) -> Answer:
    if parameters:
        return _BAD_REQUEST
    headers = {"Content-Type": "application/pkix-crl"}
    return Answer(headers=headers, body=_root_crl(editions).hex().encode())


def _pck_certificate(editions: Editions, parameters: Parameters) -> Answer:
    sizes = {"encrypted_ppid": _ENCRYPTED_PPID_SIZE, "cpusvn": 16, "pcesvn": 2, "pceid": 2}
    try:
        given = {name: bytes.fromhex(parameters[name]) for name in sizes}
    except (KeyError, ValueError):
        return _BAD_REQUEST
    if any(len(value) != sizes[name] for name, value in given.items()):
        return _BAD_REQUEST
    platform = editions.standard
    pki, extension = platform.blueprint.pki, platform.blueprint.pki.pck.sgx_extension
    # The PPID is encrypted for Intel, which nobody is here: any is taken for the platform's.
    if not isinstance(extension, SgxExtension) or given["pceid"] != extension.pce_id:
        return _NOT_FOUND
    headers = {
        "SGX-PCK-Certificate-Issuer-Chain": issuer_header(pki.pem("intermediate", "root")),
        "SGX-TCBm": (extension.cpu_svn + extension.pce_svn.to_bytes(2, "little")).hex().upper(),
        "SGX-FMSPC": extension.fmspc.hex().upper(),
        "SGX-PCK-Certificate-CA-Type": platform.identity.pck_ca.value,
    }
    return _pem(pki.pem("pck"), headers)


_OF_TEE: dict[str, Callable[[Editions, Parameters], Answer]] = {
    "tcb": _tcb,
    "qe/identity": _qe_identity,
    "tcbevaluationdatanumbers": _evaluation_numbers,
}
_OF_SGX: dict[str, Callable[[Editions, Parameters], Answer]] = {
    "pckcrl": _pck_crl,
    "rootcacrl": _root_ca_crl,
    "pckcert": _pck_certificate,
}


def _edition(editions: Editions, parameters: Parameters) -> EmulatedPlatform | Answer:
    """Choose by `update` or `tcbEvaluationDataNumber`, which exclude each other."""
    if len(parameters) > 1:
        return _BAD_REQUEST
    match parameters:
        case {"update": "early"}:
            return editions.early
        case {"update": "standard"}:
            return editions.standard
        case {"tcbEvaluationDataNumber": number} if number.isascii() and number.isdecimal():
            # One that is older than all was withdrawn; one that is newer is not known yet.
            withdrawn = int(number) < min(editions.numbers, default=0)
            return editions.numbered(int(number)) or (_GONE if withdrawn else _NOT_FOUND)
    return _BAD_REQUEST if parameters else editions.standard


def _root_crl(editions: Editions) -> bytes:
    pieces = editions.standard.blueprint
    return pieces.crls.root.issue(pieces.pki.root)


def _signed(platform: EmulatedPlatform, header: str, text: str) -> Answer:
    """A document that the TCB signer signed."""
    chain = issuer_header(platform.blueprint.pki.pem("tcb_signer", "root"))
    headers = {"Content-Type": "application/json", header: chain}
    return Answer(headers=headers, body=text.encode())


def _binary(der: bytes, headers: dict[str, str] | None = None) -> Answer:
    return Answer(headers={"Content-Type": "application/pkix-crl"} | (headers or {}), body=der)


def _pem(text: str, headers: dict[str, str]) -> Answer:
    headers = {"Content-Type": "application/x-pem-file"} | headers
    return Answer(headers=headers, body=text.encode())
