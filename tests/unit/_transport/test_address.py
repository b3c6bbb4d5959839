"""What may be written as `addr`, and what gRPC is given for it."""

from __future__ import annotations

import pytest

from blindai_async._transport.address import ServerAddress


def parse(addr, attested_port=50051, untrusted_port=50052):
    return ServerAddress.parse(
        addr, attested_port=attested_port, untrusted_port=untrusted_port, server_name="blindai-srv"
    )


@pytest.mark.parametrize(
    ("addr", "host", "attested"),
    [
        ("localhost", "localhost", "localhost:50051"),
        ("https://inference.example", "inference.example", "inference.example:50051"),
        ("https://inference.example/", "inference.example", "inference.example:50051"),
        ("  localhost\n", "localhost", "localhost:50051"),
        ("rooted.example.", "rooted.example.", "rooted.example.:50051"),
        ("b\u00fccher.example", "b\u00fccher.example", "b\u00fccher.example:50051"),
        ("127.0.0.1", "127.0.0.1", "127.0.0.1:50051"),
        ("::1", "::1", "[::1]:50051"),
        ("[::1]", "::1", "[::1]:50051"),
        ("https://[2001:db8::1]/", "2001:db8::1", "[2001:db8::1]:50051"),
        ("fe80::1%eth0", "fe80::1%eth0", "[fe80::1%eth0]:50051"),
    ],
)
def test_a_host_is_read(addr, host, attested):
    address = parse(addr)
    assert (address.host, address.attested) == (host, attested)
    assert address.untrusted == attested.removesuffix("50051") + "50052"


@pytest.mark.parametrize(
    ("addr", "said"),
    [
        ("", "not a host"),
        ("   ", "not a host"),
        ("https://", "not a host"),
        ("[]", "not a host"),
        ("http://localhost", "only https://"),
        ("dns:///localhost", "only https://"),
        ("unix:///tmp/socket", "only https://"),
        ("localhost:50051", "has a port in it"),
        ("unix:/tmp/socket", "not a host"),
        ("ipv4:127.0.0.1", "has a port in it"),
        ("https://localhost:50051", "has a port in it"),
        ("[::1]:50051", "not a host"),
        ("user@localhost", "not a host"),
        ("localhost/path", "not a host"),
        ("localhost?query", "not a host"),
        ("local host", "not a host"),
        ("local\nhost", "not a host"),
        (":::1", "has a port in it"),
        ("a" * 64, "not a host"),
        ("two..dots", "not a host"),
        ("nul\x00byte", "not a host"),
        ("esc\x1b[2J", "not a host"),
    ],
)
def test_what_is_no_host_is_refused_with_a_reason(addr, said):
    with pytest.raises(ValueError, match=said):
        parse(addr)


@pytest.mark.parametrize("name", ["attested_port", "untrusted_port"])
@pytest.mark.parametrize("port", [0, -1, 65536, 50051.0, "50051", None])
def test_what_is_no_port_is_refused_by_name(name, port):
    with pytest.raises(ValueError, match=name):
        parse("localhost", **{name: port})


@pytest.mark.parametrize("port", [1, 65535])
def test_every_port_may_be_used(port):
    assert parse("localhost", attested_port=port).attested == f"localhost:{port}"


@pytest.mark.parametrize("server_name", ["", "a" * 64, "two..dots", "nul\x00byte"])
def test_a_server_name_that_no_certificate_carries_is_refused(server_name):
    with pytest.raises(ValueError, match="server_name"):
        ServerAddress.parse("localhost", attested_port=1, untrusted_port=2, server_name=server_name)
