"""The host's certificate, from a file or from the port that presents it."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from blindai_async._base_errors import TransportError

if TYPE_CHECKING:
    import os

    from blindai_async._transport.address import ServerAddress
    from blindai_async._transport.deadline import Deadline

__all__ = ["fetch_host_certificate", "pem_from_der", "read_certificate_file"]

_MAX_CERTIFICATE_FILE = 1 << 20


async def read_certificate_file(path: str | os.PathLike[str]) -> bytes:
    """Read a PEM certificate from a file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it holds no PEM certificate.
    """
    async with await anyio.open_file(path, "rb") as file:
        pem = await file.read(_MAX_CERTIFICATE_FILE)
    from cryptography import x509  # noqa: PLC0415 - slow to import, used once a connection

    try:
        x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise ValueError(f"certificate {Path(path)}: not a PEM certificate ({error})") from error
    return pem


async def fetch_host_certificate(address: ServerAddress, deadline: Deadline) -> bytes:
    """Take the certificate that the untrusted port presents, unchecked, as PEM.

    Whoever answers there presents one: it proves nothing. In hardware mode nothing rests on it,
    since the quote vouches for the enclave's own certificate.

    Raises:
        TransportError: no TLS server answers there.
        DeadlineExceededError: none did in time.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])  # gRPC servers refuse a handshake without it
    try:
        async with asyncio.timeout(deadline.remaining()):
            _, writer = await asyncio.open_connection(
                address.host,
                address.untrusted_port,
                ssl=context,
                server_hostname=address.server_name,
            )
    except TimeoutError:
        raise deadline.exceeded() from None
    except OSError as error:  # SSLError included
        raise TransportError(
            f"no TLS server answers on the untrusted port {address.untrusted}: {error}",
            code="UNAVAILABLE",
        ) from error
    try:
        der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    finally:
        writer.transport.abort()  # the certificate is all that was wanted: no closing handshake
    if not der:
        raise TransportError(f"the untrusted port {address.untrusted} presented no certificate")
    return pem_from_der(der)


def pem_from_der(der: bytes) -> bytes:
    """Armour a DER certificate as PEM."""
    return ssl.DER_cert_to_PEM_cert(der).encode()
