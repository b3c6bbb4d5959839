"""Whom the user trusts: the root that evidence must lead back to."""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from blindai_async._base_errors import PolicyFormatError, UntrustedRootWarning
from blindai_async.attestation.parsing import EvidenceError

if TYPE_CHECKING:
    from blindai_async.attestation.x509.certificates import Certificate

__all__ = ["INTEL_SGX_ROOT", "TrustRoot"]


@dataclass(frozen=True, slots=True)
class TrustRoot:
    """A root of trust, pinned by its public key.

    `INTEL_SGX_ROOT` is the only one that speaks for SGX hardware. Another one is for emulated
    platforms: evidence under it proves what the holder of its key says.

    Attributes:
        name: for reports.
        common_name: the common name that the root's certificate must have.
        point: the root's public key, an uncompressed P-256 point of 65 bytes.
        fingerprint: the SHA-256 of the root's certificate. A certificate of these very bytes is
            known to be signed by itself; another certificate of the same key is checked anew.
    """

    name: str
    common_name: str
    point: bytes
    fingerprint: bytes

    @property
    def digest(self) -> bytes:
        """32 bytes that stand for this root, and for no other, in the key of a cache."""
        return hashlib.sha256(self.point + self.fingerprint + self.common_name.encode()).digest()

    @classmethod
    def from_pem(cls, pem: str | bytes) -> Self:
        """Trust another root than Intel's, and say so with a warning that names it.

        Args:
            pem: one self-signed CA certificate on P-256, PEM.

        Raises:
            PolicyFormatError: it is something else.
        """
        return cls._from_pem(pem, stacklevel=3)

    @classmethod
    def from_file(cls, path: str | Path) -> Self:
        """Trust the root in a PEM file: `from_pem`, with its warning and its errors.

        Raises:
            FileNotFoundError: there is no such file.
        """
        return cls._from_pem(Path(path).read_bytes(), stacklevel=3)

    @classmethod
    def _from_pem(cls, pem: str | bytes, *, stacklevel: int) -> Self:
        try:
            text = pem.decode("ascii") if isinstance(pem, bytes) else pem
            certificate = _read_root(text)
        except (EvidenceError, UnicodeDecodeError) as error:
            raise PolicyFormatError(
                f"The trust root is not one self-signed CA certificate: {error}", key="trust_root"
            ) from error
        fingerprint = hashlib.sha256(certificate.der)
        # Whatever it calls itself, even "Intel SGX Root CA": no report may show it as Intel's.
        name = f"not Intel's: {certificate.name} (SHA-256 {fingerprint.hexdigest()})"
        warnings.warn(
            f"Evidence is judged under a root of trust that is {name!a}: it proves nothing about "
            "SGX hardware",
            UntrustedRootWarning,
            stacklevel=stacklevel,
        )
        return cls(name, certificate.name, certificate.point, fingerprint.digest())


def _read_root(pem: str) -> Certificate:
    from blindai_async.attestation.x509.certificates import (  # noqa: PLC0415 - see the package
        KEY_CERT_SIGN,
        parse_certificate,
        split_chain,
    )

    chain = split_chain(pem)
    if len(chain) != 1:
        raise EvidenceError("there is more than one certificate")
    certificate = parse_certificate(chain[0])
    if not certificate.is_ca or not (certificate.key_usage or 0) & KEY_CERT_SIGN:
        raise EvidenceError("it may not issue certificates")
    if not certificate.is_signed_by(certificate):
        raise EvidenceError("it is not signed by itself")
    return certificate


INTEL_SGX_ROOT: Final = TrustRoot(
    name="Intel SGX Root CA",
    common_name="Intel SGX Root CA",
    point=bytes.fromhex(
        "040ba9c4c0c0c86193a3fe23d6b02cda10a8bbd4e88e48b4458561a36e705525f567918e2edc88e40d860bd0"
        "cc4ee26aacc988e505a953558c453f6b0904ae7394"
    ),
    fingerprint=bytes.fromhex("44a0196b2b99f889b8e149e95b807a350e7424964399e885a7cbb8ccfab674d3"),
)
"""Intel's root for SGX and TDX, the default everywhere.

Source: https://certificates.trustedservices.intel.com/Intel_SGX_Provisioning_Certification_RootCA.pem
"""
