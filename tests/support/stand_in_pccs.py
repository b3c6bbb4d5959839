"""A service of collateral on loopback, over real HTTP and TLS, that can go wrong in every way."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import ssl
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qs, quote, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

if TYPE_CHECKING:
    from blindai_async.server.tee.emulated import EmulatedPlatform

__all__ = ["Fault", "Reply", "StandInPccs"]


@dataclass
class Reply:
    """An answer, before it is sent."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


Fault = Callable[[Reply, asyncio.StreamWriter], Awaitable[Reply | None]]
"""Changes an answer; where it returns None, it has written to the client itself, or hung up."""


class StandInPccs:
    """Serves the collateral of an emulated platform.

    Attributes:
        platform: whose collateral; may be replaced at any time.
        requests: path and query of each request.
        crl_encoding: "der" in binary, "hex" or "pem".
        released: answers wait for it.
    """

    def __init__(self, platform: EmulatedPlatform, *, tls: bool = True, tee: str = "sgx") -> None:
        self.platform = platform
        self.requests: list[str] = []
        self.crl_encoding = "der"
        self.released = asyncio.Event()
        self.released.set()
        self.open_connections = 0
        self._tls = tls
        self._tee = tee
        self._faults: list[tuple[str, Fault, int]] = []
        self._server: asyncio.Server | None = None
        self.ca_pem = b""
        self._changes: dict[str, bytes] = {}

    async def __aenter__(self) -> Self:
        context = None
        if self._tls:
            context, self.ca_pem = _server_context()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=context)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        self.released.set()

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    def fail(self, fragment: str, fault: Fault, times: int = 1 << 30) -> None:
        """Let requests whose path and query contain `fragment` go wrong, so many times."""
        self._faults.insert(0, (fragment, fault, times))

    def heal(self) -> None:
        self._faults.clear()

    def asked(self, fragment: str) -> int:
        """How many requests contained `fragment`."""
        return sum(fragment in request for request in self.requests)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open_connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                target = head.split(b" ", 2)[1].decode()
                if "://" in target:  # as it is asked through a proxy
                    target = urlsplit(target).path + "?" + urlsplit(target).query
                self.requests.append(target.rstrip("?"))
                await self.released.wait()
                reply: Reply | None = self._answer(target)
                for fragment, fault, times in self._faults:
                    if fragment in target and times > 0:
                        self._faults[self._faults.index((fragment, fault, times))] = (
                            fragment,
                            fault,
                            times - 1,
                        )
                        reply = await fault(reply, writer)
                        break
                if reply is None:
                    return
                writer.write(_encoded(reply))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.open_connections -= 1
            writer.close()

    def _answer(self, target: str) -> Reply:
        parts = urlsplit(target)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        collateral = {name: str(text) for name, text in self.platform.collateral().items()}
        fmspc = self.platform.blueprint.pki.pck.sgx_extension.fmspc.hex()
        ca = self.platform.identity.pck_ca.value.lower()
        signer = quote(collateral["tcb_info_issuer_chain"])
        chain = quote(collateral["pck_crl_issuer_chain"])
        known = {
            f"/{self._tee}/certification/v4/tcb": (
                "TCB-Info-Issuer-Chain",
                signer,
                collateral["tcb_info"].encode(),
                query.get("fmspc", "").lower() == fmspc,
            ),
            f"/{self._tee}/certification/v4/qe/identity": (
                "SGX-Enclave-Identity-Issuer-Chain",
                signer,
                collateral["qe_identity"].encode(),
                True,
            ),
            "/sgx/certification/v4/pckcrl": (
                "SGX-PCK-CRL-Issuer-Chain",
                chain,
                self._crl(collateral["pck_crl"]),
                query.get("ca") == ca,
            ),
            "/sgx/certification/v4/rootcacrl": (
                "X-Nothing",
                "",
                self._crl(collateral["root_ca_crl"], "hex"),
                True,
            ),
            "/sgx/certification/v4/pckcert": (
                "SGX-PCK-Certificate-Issuer-Chain",
                chain,
                self.platform.blueprint.pki.pem("pck").encode(),
                {"encrypted_ppid", "cpusvn", "pcesvn", "pceid", "qeid"} <= query.keys(),
            ),
        }
        if parts.path not in known or not known[parts.path][3]:
            return Reply(404, {}, b"not found")
        header, value, body, _ = known[parts.path]
        return Reply(200, {header: value}, body)

    def _crl(self, pem: str, encoding: str | None = None) -> bytes:
        encoding = encoding or self.crl_encoding
        der = x509.load_pem_x509_crl(pem.encode()).public_bytes(serialization.Encoding.DER)
        return {"der": der, "hex": der.hex().encode(), "pem": pem.encode()}[encoding]

    # Faults, for `fail`.

    @staticmethod
    def status(code: int, **headers: str) -> Fault:
        async def fault(reply: Reply, writer: Any) -> Reply:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            return Reply(code, named, b"something about it")

        return fault

    @staticmethod
    def body(change: Callable[[bytes], bytes]) -> Fault:
        async def fault(reply: Reply, writer: Any) -> Reply:
            return Reply(reply.status, reply.headers, change(reply.body))

        return fault

    @staticmethod
    def header(change: Callable[[dict[str, str]], dict[str, str]]) -> Fault:
        async def fault(reply: Reply, writer: Any) -> Reply:
            return Reply(reply.status, change(reply.headers), reply.body)

        return fault

    @staticmethod
    async def truncated(reply: Reply, writer: asyncio.StreamWriter) -> None:
        writer.write(_encoded(reply)[:-100])
        await writer.drain()

    @staticmethod
    async def hangs(reply: Reply, writer: asyncio.StreamWriter) -> None:
        await writer.wait_closed()  # by the client

    @staticmethod
    async def drips(reply: Reply, writer: asyncio.StreamWriter) -> None:
        """Never ends, and is never idle for long."""
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"1\r\n \r\n")
            await writer.drain()
            await asyncio.sleep(0.05)

    @staticmethod
    async def endless(reply: Reply, writer: asyncio.StreamWriter) -> None:
        """More than can be held, without saying how much."""
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        piece = b"10000\r\n" + bytes(1 << 16) + b"\r\n"
        for _ in range(64):  # four times what is read at most; the client is in this very loop
            if writer.is_closing():
                return
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        await writer.wait_closed()

    @staticmethod
    async def announces_much(reply: Reply, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n")
        await writer.drain()
        await writer.wait_closed()  # by the client


def _encoded(reply: Reply) -> bytes:
    headers = reply.headers | {"Content-Length": str(len(reply.body))}
    lines = [f"HTTP/1.1 {reply.status} Whatever", *(f"{n}: {v}" for n, v in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode() + reply.body


def _server_context() -> tuple[ssl.SSLContext, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a PCCS")])
    now = datetime.now(UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    key_pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "both.pem"
        file.write_bytes(key_pem + pem)
        context.load_cert_chain(file)
    return context, pem


def next_update(platform: EmulatedPlatform) -> str:
    """What the platform's TCB info says of its end."""
    content = json.loads(str(platform.collateral()["tcb_info"]))
    return str(content["tcbInfo"]["nextUpdate"])
