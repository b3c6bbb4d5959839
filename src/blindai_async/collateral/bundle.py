"""Collateral in a directory, for a client that reaches no service: one file a field.

==================================  ===========================================================
file                                content
==================================  ===========================================================
``tcb_info.json``                   signed JSON, as Intel writes it, byte for byte
``tcb_info_issuer_chain.pem``       its signer and the root
``qe_identity.json``                signed JSON
``qe_identity_issuer_chain.pem``    its signer and the root
``pck_crl.pem``                     the platform CA's revocation list: PEM, DER, or DER in hex
``pck_crl_issuer_chain.pem``        the platform CA and the root
``root_ca_crl.pem``                 the root's revocation list: PEM, DER, or DER in hex
``pck_certificate.pem``             only where the quote does not carry it
``pck_signing_chain.pem``           the platform CA and the root, beside the former
==================================  ===========================================================

Other files are not looked at.
"""

from __future__ import annotations

import base64
import os
import tempfile
import textwrap
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from anyio import to_thread

from blindai_async.attestation import SgxCollateral
from blindai_async.attestation.parsing import (
    MAX_CHAIN_CHARS,
    MAX_CRL_CHARS,
    MAX_JSON_CHARS,
    EvidenceError,
)
from blindai_async.collateral.parts import crl_text
from blindai_async.errors import CollateralError

__all__ = ["CollateralDirectory", "read_bundle", "write_bundle"]

_VERSION: Final = 3
_CRLS: Final = frozenset({"pck_crl", "root_ca_crl"})
_OPTIONAL: Final = frozenset({"pck_certificate", "pck_signing_chain"})
_FILES: Final = {
    "tcb_info": ("tcb_info.json", MAX_JSON_CHARS),
    "tcb_info_issuer_chain": ("tcb_info_issuer_chain.pem", MAX_CHAIN_CHARS),
    "qe_identity": ("qe_identity.json", MAX_JSON_CHARS),
    "qe_identity_issuer_chain": ("qe_identity_issuer_chain.pem", MAX_CHAIN_CHARS),
    "pck_crl": ("pck_crl.pem", MAX_CRL_CHARS),
    "pck_crl_issuer_chain": ("pck_crl_issuer_chain.pem", MAX_CHAIN_CHARS),
    "root_ca_crl": ("root_ca_crl.pem", MAX_CRL_CHARS),
    "pck_certificate": ("pck_certificate.pem", MAX_CHAIN_CHARS),
    "pck_signing_chain": ("pck_signing_chain.pem", MAX_CHAIN_CHARS),
}


@dataclass(frozen=True, slots=True)
class CollateralDirectory:
    """Gives the collateral in a directory, read anew each time: it may be replaced meanwhile.

    Args:
        path: of the directory.
    """

    path: Path

    async def fetch(self, quote: bytes) -> SgxCollateral:  # noqa: ARG002 - what is there, is there
        """Read the directory; whether it is of the quote's platform, the verification says.

        Raises:
            CollateralError: a file is missing, unreadable, or too large.
        """
        return await to_thread.run_sync(read_bundle, self.path)


def read_bundle(directory: str | os.PathLike[str]) -> SgxCollateral:
    """Read the collateral in a directory; nothing of it is verified.

    Raises:
        CollateralError: a file is missing, unreadable, or too large.
    """
    fields = {
        name: _read(Path(directory) / file, name, size) for name, (file, size) in _FILES.items()
    }
    return SgxCollateral(version=_VERSION, **fields)


def write_bundle(directory: str | os.PathLike[str], collateral: SgxCollateral) -> list[Path]:
    """Write collateral to a directory, made where it is not there; returns the files.

    Each file is replaced at once or not at all. One that the collateral has no content for is
    removed, so that no part of an older platform is left beside it.

    Raises:
        OSError: a file cannot be written.
    """
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, (file, _) in _FILES.items():
        text = getattr(collateral, name)
        if text:
            written.append(_write(folder / file, _crl_as_pem(text) if name in _CRLS else text))
        else:
            (folder / file).unlink(missing_ok=True)
    return written


def _read(path: Path, name: str, max_bytes: int) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(max_bytes + 1)
    except FileNotFoundError:
        if name in _OPTIONAL:
            return ""
        raise CollateralError(
            f"collateral: {path} is missing; 'blindai-async collateral fetch' writes all files",
            url=str(path),
        ) from None
    except OSError as error:
        raise CollateralError(
            f"collateral: {path} cannot be read: {error.strerror}", url=str(path)
        ) from error
    if len(content) > max_bytes:
        raise CollateralError(f"collateral: {path} has more than {max_bytes} bytes", url=str(path))
    try:
        return crl_text(content) if name in _CRLS else content.decode("ascii")
    except (EvidenceError, UnicodeDecodeError) as error:
        raise CollateralError(
            f"collateral: {path} is not what its name says: {error}", url=str(path)
        ) from error


def _crl_as_pem(text: str) -> str:
    """Write a CRL as what other programs read; PEM stays as it is."""
    try:
        der = bytes.fromhex(text)
    except ValueError:
        return text
    lines = textwrap.wrap(base64.b64encode(der).decode(), 64)
    return "\n".join(("-----BEGIN X509 CRL-----", *lines, "-----END X509 CRL-----", ""))


def _write(path: Path, text: str) -> Path:
    descriptor, name = tempfile.mkstemp(prefix=".new-", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii", newline="") as file:
            file.write(text)
        temporary.chmod(0o644)  # what Intel publishes is no secret, and others may have to read it
        return temporary.replace(path)
    except BaseException:
        with suppress(FileNotFoundError):
            temporary.unlink()
        raise
