"""TLS certificates as the two ports present them, and the host's from a file.

Nothing is trusted for what is seen here: it is the host's certificate where the caller has given
none, and the reason to name where a port is not reached.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blindai_async._base_errors import TransportError
from blindai_async._transport.threads import Purpose, run_in_thread

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from blindai_async._transport.address import ServerAddress
    from blindai_async._transport.deadline import Deadline

_MAX_CERTIFICATE_FILE = 1 << 20

# For one address, to find out why it was not reached.
_LOOK_SECONDS = 2.0


async def read_certificate(certificate: str | os.PathLike[str] | bytes) -> bytes:
    """Read PEM certificates from a file, or take them as they are.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: no PEM certificate.
    """
    if isinstance(certificate, bytes):
        pem, name = certificate, "given as bytes"
    else:
        pem, name = await run_in_thread(Purpose.FILES, _read, certificate), str(Path(certificate))
    from cryptography import x509  # noqa: PLC0415 - slow to import, used once a connection

    try:
        x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise ValueError(f"certificate {name}: not a PEM certificate ({error})") from error
    return pem


def _read(path: str | os.PathLike[str]) -> bytes:
    with Path(path).open("rb") as file:
        return file.read(_MAX_CERTIFICATE_FILE)


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
    reasons = []
    try:
        async with asyncio.timeout(deadline.remaining()):
            for where in await _resolve(address.host, address.untrusted_port):
                try:
                    return pem_from_der(await _presented(where, address.server_name, context))
                except OSError as error:
                    reasons.append((error, where))
    except TimeoutError:
        raise deadline.exceeded() from None
    except socket.gaierror as error:
        reasons.append((error, (address.host, address.untrusted_port)))
    # That something else listens there tells more than that nothing does.
    reasons.sort(key=lambda reason: isinstance(reason[0], ConnectionRefusedError))
    said = "; ".join(f"{_shown(where)}: {_reason(error)}" for error, where in reasons)
    raise TransportError(
        f"no TLS server answers on the untrusted port {address.untrusted} ({said})",
        code="UNAVAILABLE",
    ) from reasons[0][0]


async def why_not_reached(
    host: str, port: int, server_name: str, expected_pem: bytes, changed: str
) -> str:
    """Find out why a port was not reached: what each of its addresses answers.

    Args:
        host: a name or an address.
        port: its port.
        server_name: for TLS.
        expected_pem: the certificates that would have been accepted.
        changed: what to say where another one is presented.

    Returns:
        A text such as ``127.0.0.1:50051: nothing listens``, the address that matters first; ""
        where there is no reason any more.
    """
    try:
        addresses = await _resolve(host, port)
    except socket.gaierror as error:
        return f"{host}: {_reason(error)}"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=expected_pem.decode())
    silent, telling = [], []
    for where in addresses:
        try:
            async with asyncio.timeout(_LOOK_SECONDS):
                await _presented(where, server_name, context)
        except TimeoutError:
            silent.append(f"{_shown(where)}: does not answer")
        except ConnectionRefusedError as error:
            silent.append(f"{_shown(where)}: {_reason(error)}")
        except ssl.SSLCertVerificationError:
            telling.append(f"{_shown(where)}: {changed}")
        except OSError as error:
            telling.append(f"{_shown(where)}: {_reason(error)}")
    return "; ".join(telling + silent)


async def _resolve(host: str, port: int) -> Sequence[tuple[Any, ...]]:
    found = await run_in_thread(
        Purpose.RESOLVE, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    )
    return list(dict.fromkeys(entry[4] for entry in found))


async def _presented(where: tuple[Any, ...], server_name: str, context: ssl.SSLContext) -> bytes:
    """Shake hands with whoever listens at an address; returns the certificate it presents, DER."""
    context.set_alpn_protocols(["h2"])  # gRPC servers refuse a handshake without it
    _, writer = await asyncio.open_connection(
        where[0], where[1], ssl=context, server_hostname=server_name
    )
    try:
        der: bytes | None = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    finally:
        writer.transport.abort()  # the certificate is all that was wanted: no closing handshake
    if not der:
        raise ssl.SSLError("it presented no certificate")
    return der


def _reason(error: OSError) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens"
    if isinstance(error, ssl.SSLError | ConnectionError):
        return f"no TLS server ({error})"
    return error.strerror or str(error)


def _shown(where: tuple[Any, ...]) -> str:
    return f"[{where[0]}]:{where[1]}" if ":" in str(where[0]) else f"{where[0]}:{where[1]}"


def pem_from_der(der: bytes) -> bytes:
    """Armour a DER certificate as PEM."""
    return ssl.DER_cert_to_PEM_cert(der).encode()
