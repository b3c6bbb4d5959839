"""Which platform a quote is from: what a service of collateral has to be asked for."""

from __future__ import annotations

import struct
from typing import Final, Literal, NamedTuple

from blindai_async.attestation.dcap.pck import parse_pck_extension
from blindai_async.attestation.dcap.quote import parse_quote
from blindai_async.attestation.parsing import EvidenceError
from blindai_async.attestation.x509.certificates import common_name, parse_certificate, split_chain
from blindai_async.attestation.x509.chains import PCK_CAS, PLATFORM_CA
from blindai_async.errors import QuoteValidationError

__all__ = [
    "Ca",
    "Platform",
    "Tee",
    "UncertifiedPlatform",
    "certified_platform",
    "platform_of_quote",
]

Tee = Literal["sgx", "tdx"]
Ca = Literal["platform", "processor"]

# Both are wherever a quote can be parsed, whatever its version: the TEE type follows the key type.
_TEE_TYPE: Final = struct.Struct("<4xI")
_TEES: Final[dict[int, Tee]] = {0x00: "sgx", 0x81: "tdx"}

# Quote version 3: header, report, length, signature, key, QE report, its signature.
_V3_AUTHENTICATION: Final = 48 + 384 + 4 + 64 + 64 + 384 + 64
_QE_ID: Final = slice(28, 44)  # the first 16 of the header's 20 bytes of user data
_ENCRYPTED_PPID_BYTES: Final = {2: 256, 3: 384}
_REST_OF_PPID_DATA: Final = struct.Struct("<16sH2s")


class Platform(NamedTuple):
    """A platform that its PCK certificate names.

    Attributes:
        tee: what its quote is of.
        fmspc: its family, 6 bytes.
        ca: which of Intel's CAs has certified it.
    """

    tee: Tee
    fmspc: bytes
    ca: Ca


class UncertifiedPlatform(NamedTuple):
    """A platform whose quote carries no PCK certificate; the service has to be asked for it.

    Attributes:
        tee: what its quote is of.
        encrypted_ppid: who it is, for Intel alone to read.
        cpu_svn: its raw CPUSVN, 16 bytes.
        pce_svn: the security version of its provisioning enclave.
        pce_id: which provisioning enclave, 2 bytes.
        qe_id: the quoting enclave's name for the platform, by which a PCCS knows it, 16 bytes.
    """

    tee: Tee
    encrypted_ppid: bytes
    cpu_svn: bytes
    pce_svn: int
    pce_id: bytes
    qe_id: bytes


def platform_of_quote(quote: bytes) -> Platform | UncertifiedPlatform:
    """Read from a quote which platform made it; nothing is verified.

    What a forged quote names, costs a question about another platform: the answer does not fit the
    quote then, and its verification says so.

    Raises:
        QuoteValidationError: it is not a quote, or does not name its platform.
    """
    try:
        chain = pck_chain_of(quote)
        tee = _tee(quote)
        return _uncertified(quote, tee) if chain is None else certified_platform(chain, tee)
    except EvidenceError as error:
        raise QuoteValidationError(
            f"Quote (step 1): it does not tell what collateral to fetch: {error}", step=1
        ) from error


def pck_chain_of(quote: bytes) -> str | None:
    """Take the PCK certificate chain out of a quote, PEM; None where it only names the platform."""
    return parse_quote(quote).pck_chain


def certified_platform(chain: str, tee: Tee) -> Platform:
    """Read from a PCK certificate, PEM and perhaps with its issuers, which platform it is of.

    Raises:
        EvidenceError: there is not just one PCK certificate among them.
    """
    # Not by its place: the chain of a genuine quote may stand in another order.
    certificates = [parse_certificate(der) for der in split_chain(chain)]
    pcks = [one for one in certificates if one.sgx_extension is not None]
    if len(pcks) != 1 or pcks[0].sgx_extension is None:
        raise EvidenceError(f"there are {len(pcks)} PCK certificates in the chain, not one")
    issuer = common_name(pcks[0].issuer)
    if issuer not in PCK_CAS:
        raise EvidenceError(f"{issuer!a} does not certify platforms")
    by_platform_ca = issuer == PLATFORM_CA
    extension = parse_pck_extension(pcks[0].sgx_extension, of_platform_ca=by_platform_ca)
    return Platform(tee, extension.fmspc, "platform" if by_platform_ca else "processor")


def _tee(quote: bytes) -> Tee:
    (number,) = _TEE_TYPE.unpack_from(quote)
    tee = _TEES.get(number)
    if tee is None:
        raise EvidenceError(f"the TEE type is {number:#x}, neither SGX nor TDX")
    return tee


def _uncertified(quote: bytes, tee: Tee) -> UncertifiedPlatform:
    """Read certification data of the types 2 and 3 (`parse_quote` has found it whole)."""
    if quote[:2] != b"\x03\x00":
        raise EvidenceError("only a quote of version 3 may lack the PCK certificate")
    (length,) = struct.unpack_from("<H", quote, _V3_AUTHENTICATION)
    kind, size = struct.unpack_from("<HI", quote, _V3_AUTHENTICATION + 2 + length)
    data = quote[len(quote) - size :]
    ppid_bytes = _ENCRYPTED_PPID_BYTES.get(kind)
    if ppid_bytes is None:
        raise EvidenceError(f"certification data of type {kind} hold no encrypted PPID")
    if size != ppid_bytes + _REST_OF_PPID_DATA.size:
        raise EvidenceError(f"certification data of type {kind} do not have {size} bytes")
    cpu_svn, pce_svn, pce_id = _REST_OF_PPID_DATA.unpack_from(data, ppid_bytes)
    return UncertifiedPlatform(tee, data[:ppid_bytes], cpu_svn, pce_svn, pce_id, quote[_QE_ID])
