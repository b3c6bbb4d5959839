"""The untrusted port: version, certificate, evidence; and what stands on which port."""

from __future__ import annotations

import hashlib
import ssl

import grpc
import pytest

from blindai_async._pb import securedexchange_pb2 as pb
from blindai_async.server.tee.emulated import EmulatedPlatform


class FixedEvidence:
    """Evidence whose parts can be recognized."""

    fields = (
        "pck_crl_issuer_chain",
        "root_ca_crl",
        "pck_crl",
        "tcb_info_issuer_chain",
        "tcb_info",
        "qe_identity_issuer_chain",
        "qe_identity",
        "pck_certificate",
        "pck_signing_chain",
    )

    tee = "sgx"

    def quote(self, report_data):
        return b"quote of " + report_data

    def collateral(self):
        return {"version": 3} | {name: f"<{name}>" for name in self.fields}


class BrokenHardware(FixedEvidence):
    def quote(self, report_data):
        raise OSError("/dev/sgx/secret is gone")


@pytest.mark.parametrize("version", ["0.5.0", "0.5.9-rc1", "0.6.0"])
async def test_the_version_is_told(start_server, raw_client, version):
    client = await raw_client(await start_server(version=version))
    assert (await client.ask("GetServerInfo")).version == version


async def test_the_version_is_0_5_by_default(client):
    assert (await client.ask("GetServerInfo")).version.startswith("0.5.")


async def test_the_certificate_is_the_attested_ports(server, client):
    der = (await client.ask("GetCertificate")).enclave_tls_certificate
    pem = ssl.get_server_certificate((server.host, server.attested_port))
    assert der == server.enclave_certificate == ssl.PEM_cert_to_DER_cert(pem)


async def test_the_untrusted_port_presents_the_hosts_certificate(server):
    pem = ssl.get_server_certificate((server.host, server.untrusted_port))
    assert ssl.PEM_cert_to_DER_cert(pem) == ssl.PEM_cert_to_DER_cert(
        server.host_certificate_pem.decode()
    )


async def test_simulation_has_no_evidence(server, client, refusal):
    code, _ = await refusal(client.ask("GetSgxQuoteWithCollateral"))
    assert code is grpc.StatusCode.FAILED_PRECONDITION
    assert server.simulation


async def test_hardware_gives_quote_collateral_and_certificate(start_server, raw_client):
    server = await start_server(hardware=FixedEvidence())
    client = await raw_client(server)
    reply = await client.ask("GetSgxQuoteWithCollateral")
    committed = hashlib.sha256(server.enclave_certificate).digest()
    assert reply.quote == b"quote of " + committed + bytes(32)
    assert reply.enclave_held_data == server.enclave_certificate
    assert reply.collateral.version == 3
    for name in FixedEvidence.fields:
        assert getattr(reply.collateral, name) == f"<{name}>"
    assert not server.simulation


async def test_the_emulated_platforms_evidence_is_served(start_server, raw_client):
    platform = EmulatedPlatform()
    server = await start_server(hardware=platform)
    reply = await (await raw_client(server)).ask("GetSgxQuoteWithCollateral")
    for name, value in platform.collateral().items():
        assert getattr(reply.collateral, name) == value
    assert hashlib.sha256(server.enclave_certificate).digest() in reply.quote


async def test_an_unexpected_error_tells_the_peer_nothing(
    start_server, raw_client, refusal, caplog
):
    client = await raw_client(await start_server(hardware=BrokenHardware()))
    code, details = await refusal(client.ask("GetSgxQuoteWithCollateral"))
    assert (code, details) == (grpc.StatusCode.INTERNAL, "Internal error")
    assert "/dev/sgx/secret" in caplog.text


async def test_a_token_can_be_asked_for(client):
    assert (await client.ask("GetToken")).token == ""


@pytest.mark.parametrize("port", ["attested", "untrusted"])
async def test_each_port_has_its_own_service_only(client, refusal, port):
    wrong = {
        "attested": "/untrusted.Attestation/GetCertificate",
        "untrusted": "/securedexchange.Exchange/DeleteModel",
    }[port]
    channel = getattr(client, port)
    request = pb.DeleteModelRequest(model_id="m").SerializeToString()
    code, _ = await refusal(channel.unary_unary(wrong)(request))
    assert code is grpc.StatusCode.UNIMPLEMENTED
