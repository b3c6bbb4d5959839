"""Where a server is: what a caller may write as `addr`, and what gRPC takes as a target."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """A server's host and its two ports.

    Attributes:
        host: a name or an IP address, without brackets.
        attested_port: where the enclave ends its TLS.
        untrusted_port: where the host answers for the enclave.
        server_name: the name that both certificates carry.
    """

    host: str
    attested_port: int
    untrusted_port: int
    server_name: str

    @classmethod
    def parse(
        cls, addr: str, *, attested_port: int, untrusted_port: int, server_name: str
    ) -> ServerAddress:
        """Read an address as callers write it.

        Raises:
            ValueError: not a host, a host with a port in it, a server name that is no name, or a
                port that is none.
        """
        host = addr.strip().removeprefix("https://").rstrip("/")
        if "://" in host:
            raise ValueError(f"addr {addr!r}: only https:// may stand before the host")
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        if not host or any(c in host for c in "/?#@[] \t\n"):
            raise ValueError(f"addr {addr!r} is not a host name or an IP address")
        if ":" in host and not _is_ipv6(host):
            raise ValueError(
                f"addr {addr!r} has a port in it; pass it as attested_port= and untrusted_port="
            )
        if ":" not in host and not _is_name(host):
            raise ValueError(f"addr {addr!r} is not a host name or an IP address")
        if not _is_name(server_name):
            raise ValueError(
                f"server_name={server_name!r} is not a name that a certificate carries"
            )
        for name, port in (("attested_port", attested_port), ("untrusted_port", untrusted_port)):
            if not isinstance(port, int) or not 0 < port < 65536:
                raise ValueError(f"{name}={port!r} is not a port number")
        return cls(host, attested_port, untrusted_port, server_name)

    @property
    def attested(self) -> str:
        """The attested port as a gRPC target."""
        return _target(self.host, self.attested_port)

    @property
    def untrusted(self) -> str:
        """The untrusted port as a gRPC target."""
        return _target(self.host, self.untrusted_port)


def _is_name(host: str) -> bool:
    """Tell whether the resolver and TLS can take the name; they fail in their own ways."""
    try:
        host.encode("idna")
    except UnicodeError:  # a label that is empty, or longer than 63
        return False
    return bool(host) and host.isprintable()


def _is_ipv6(host: str) -> bool:
    try:
        ipaddress.IPv6Address(host)
    except ValueError:
        return False
    return True


def _target(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
