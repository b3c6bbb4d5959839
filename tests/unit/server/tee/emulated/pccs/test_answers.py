"""What the service answers, read with nothing but an HTTP client and `cryptography`."""

from __future__ import annotations

import json
from urllib.parse import unquote, urlencode

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from blindai_async.server.tee.emulated import EmulatedPlatform, PckCa, PlatformIdentity

SGX = "/sgx/certification/v4"


def of_tee(platform, what):
    return f"/{platform.tee}/certification/v4/{what}"


def tcb(platform, **more):
    fmspc = platform.blueprint.tcb_info.fmspc.hex()
    return of_tee(platform, f"tcb?{urlencode({'fmspc': fmspc} | more)}")


def chain(reply, header):
    return unquote(reply.headers[header])


async def test_the_parts_make_the_platforms_own_collateral(client, served):
    sent = served.collateral()
    reply = await client.get(tcb(served))
    assert reply.text == sent["tcb_info"]
    assert chain(reply, "TCB-Info-Issuer-Chain") == sent["tcb_info_issuer_chain"]
    reply = await client.get(of_tee(served, "qe/identity"))
    assert reply.text == sent["qe_identity"]
    assert chain(reply, "SGX-Enclave-Identity-Issuer-Chain") == sent["qe_identity_issuer_chain"]
    reply = await client.get(f"{SGX}/pckcrl?ca=platform&encoding=der")
    assert x509.load_der_x509_crl(reply.content) == x509.load_pem_x509_crl(sent["pck_crl"].encode())
    assert chain(reply, "SGX-PCK-CRL-Issuer-Chain") == sent["pck_crl_issuer_chain"]
    assert (await client.get(f"{SGX}/pckcrl?ca=platform")).text == sent["pck_crl"]
    root_crl = x509.load_pem_x509_crl(sent["root_ca_crl"].encode()).public_bytes(Encoding.DER)
    assert (await client.get(f"{SGX}/rootcacrl")).text == root_crl.hex()
    assert (await client.get("/IntelSGXRootCA.der")).content == root_crl


async def test_what_is_served_twice_is_the_same_bytes(client, served):
    for target in (
        tcb(served, update="early"),
        of_tee(served, "qe/identity?update=early"),
        of_tee(served, "tcbevaluationdatanumbers"),
    ):
        assert (await client.get(target)).content == (await client.get(target)).content


async def test_tcb_info_is_of_version_3_as_in_api_4(start, client_of, now):
    platform = EmulatedPlatform(now=now)
    assert '"version":2' in platform.collateral()["tcb_info"]
    client = await client_of(await start(platform))
    first, again = [await client.get(tcb(platform)) for _ in range(2)]
    assert first.json()["tcbInfo"]["version"] == 3
    assert first.content == again.content


async def test_headers_are_url_encoded_without_a_line_break(client, served):
    raw = (await client.get(tcb(served))).headers["TCB-Info-Issuer-Chain"]
    assert raw.startswith("-----BEGIN%20CERTIFICATE-----%0A")
    assert "+" not in raw


async def test_updates_are_two_evaluations(client, served):
    async def number(**more):
        return json.loads((await client.get(tcb(served, **more))).text)["tcbInfo"][
            "tcbEvaluationDataNumber"
        ]

    standard = await number()
    assert standard == await number(update="standard") == 12
    assert await number(update="early") == await number(tcbEvaluationDataNumber=13) == 13
    assert await number(tcbEvaluationDataNumber=12) == 12
    identity = await client.get(of_tee(served, "qe/identity?update=early"))
    assert identity.json()["enclaveIdentity"]["tcbEvaluationDataNumber"] == 13
    listed = await client.get(of_tee(served, "tcbevaluationdatanumbers"))
    document = listed.json()["tcbEvaluationDataNumbers"]
    assert document["id"] == served.tee.upper()
    numbers = [entry["tcbEvaluationDataNumber"] for entry in document["tcbEvalNumbers"]]
    assert numbers == [13, 12]
    assert "BEGIN CERTIFICATE" in chain(listed, "TCB-Evaluation-Data-Numbers-Issuer-Chain")


async def test_the_pck_certificate_is_given_for_its_platform(client, served):
    extension = served.blueprint.pki.pck.sgx_extension
    query = {
        "encrypted_ppid": "ab" * 384,
        "cpusvn": extension.cpu_svn.hex(),
        "pcesvn": extension.pce_svn.to_bytes(2, "little").hex(),
        "pceid": extension.pce_id.hex(),
    }
    reply = await client.get(f"{SGX}/pckcert", params=query)
    assert reply.text == served.blueprint.pki.pem("pck")
    issuers = served.blueprint.pki.pem("intermediate", "root")
    assert chain(reply, "SGX-PCK-Certificate-Issuer-Chain") == issuers
    assert reply.headers["SGX-FMSPC"] == extension.fmspc.hex().upper()
    for wrong in ({"encrypted_ppid": "ab"}, {"cpusvn": "zz" * 16}, {"pcesvn": ""}):
        assert (await client.get(f"{SGX}/pckcert", params=query | wrong)).status_code == 400
    unknown = await client.get(f"{SGX}/pckcert", params=query | {"pceid": "0100"})
    assert unknown.status_code == 404


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/", 404),
        (f"{SGX}/nothing", 404),
        ("/tdx/certification/v4/pckcrl?ca=platform", 404),
        ("/sgx/certification/v3/qe/identity", 410),
        (f"{SGX}/pckcrl", 400),
        (f"{SGX}/pckcrl?ca=nobody", 400),
        (f"{SGX}/pckcrl?ca=processor&encoding=der", 404),
        (f"{SGX}/pckcrl?ca=platform&encoding=base64", 400),
        (f"{SGX}/pckcrl?ca=platform&ca=platform", 400),
        (f"{SGX}/rootcacrl?x", 400),
        ("TEE/tcb", 400),
        ("TEE/tcb?fmspc=zz", 400),
        ("TEE/tcb?fmspc=000000000000", 404),
        ("TEE/tcb?fmspc=454d554c4154&update=never", 400),
        ("TEE/tcb?fmspc=454d554c4154&tcbEvaluationDataNumber=x", 400),
        ("TEE/tcb?fmspc=454d554c4154&tcbEvaluationDataNumber=99", 404),
        ("TEE/tcb?fmspc=454d554c4154&tcbEvaluationDataNumber=11", 410),
        ("TEE/tcb?fmspc=454d554c4154&tcbEvaluationDataNumber=12&update=early", 400),
        ("TEE/qe/identity?tcbEvaluationDataNumber=1", 410),
        ("TEE/tcbevaluationdatanumbers?x=1", 400),
    ],
)
async def test_what_is_not_there_has_its_status(client, served, target, status):
    target = target.replace("TEE", f"/{served.tee}/certification/v4")
    reply = await client.get(target)
    assert (reply.status_code, reply.content) == (status, b"")


async def test_the_other_kind_of_platform_is_unknown(client, served):
    other = {"sgx": "tdx", "tdx": "sgx"}[served.tee]
    for what in ("tcb?fmspc=454d554c4154", "qe/identity", "tcbevaluationdatanumbers"):
        assert (await client.get(f"/{other}/certification/v4/{what}")).status_code == 404


async def test_the_list_of_the_processor_ca_is_served_for_its_platforms(start, client_of, now):
    platform = EmulatedPlatform(identity=PlatformIdentity(pck_ca=PckCa.PROCESSOR), now=now)
    client = await client_of(await start(platform))
    assert (await client.get(f"{SGX}/pckcrl?ca=processor&encoding=der")).status_code == 200
    assert (await client.get(f"{SGX}/pckcrl?ca=platform&encoding=der")).status_code == 404


async def test_a_platform_without_evaluation_numbers_is_served(start, client_of, served):
    bare = served.with_changes({"tcb_info.tcb_evaluation_data_number": None})
    client = await client_of(await start(bare))
    for update in ("early", "standard"):
        assert (await client.get(tcb(bare, update=update))).status_code == 200
    assert (await client.get(tcb(bare, tcbEvaluationDataNumber=12))).status_code == 404
