"""Men in the middle: each is stopped before a byte of model or input leaves.

The proxies note every byte that they could read. That they would have read these, had the client
spoken to them, is shown by the simulation mode's test: there nothing protects.
"""

from __future__ import annotations

import pytest
from fault_proxy import TO_SERVER, man_in_the_middle, no_tls
from machine import SECRET_INPUT, SECRET_MODEL, connection_to
from relay import Relay

from blindai_async._pb import untrusted_pb2 as pb
from blindai_async.errors import (
    AttestationError,
    BlindAIError,
    EnclaveHeldDataError,
    HardwareModeUnsupportedError,
    IdentityError,
    NotAnEnclaveError,
    TransportError,
)
from blindai_async.server.identity import make_enclave_identity
from blindai_async.server.tee.emulated import EmulatedPlatform

EVIDENCE = "/untrusted.Attestation/GetSgxQuoteWithCollateral"
RUN_MODEL = "/securedexchange.Exchange/RunModel"


def self_made():
    """A certificate as an enclave's, name included, with a key that the attacker has."""
    made = make_enclave_identity()
    return made.tls_key_pem, made.certificate_pem


async def try_to_send_secrets(connection):
    """Connect and, if that is possible, send model and input; raises what stopped it."""
    async with connection:
        await connection.upload_model(SECRET_MODEL, timeout=5)
        await connection.predict("echo", SECRET_INPUT, timeout=5)


def assert_nothing_read(*proxies):
    for proxy in proxies:
        for secret in (SECRET_MODEL, SECRET_INPUT.tobytes()):
            assert secret not in proxy.seen[TO_SERVER]


async def test_in_simulation_mode_a_man_in_the_middle_reads_everything(machine, proxied):
    """The control of this file: nothing is protected, and the proxies do notice."""
    untrusted = await proxied(machine.untrusted_port, man_in_the_middle(self_made()))
    attested = await proxied(machine.attested_port, man_in_the_middle(machine.steal()))
    connection = connection_to(
        machine,
        simulation=True,
        untrusted_port=untrusted.port,
        attested_port=attested.port,
    )
    async with connection:
        await connection.predict("echo", SECRET_INPUT)
        with pytest.raises(TransportError):
            await connection.upload_model(SECRET_MODEL)
    assert SECRET_INPUT.tobytes() in attested.seen[TO_SERVER]
    assert SECRET_MODEL in attested.seen[TO_SERVER]


@pytest.mark.parametrize("identity", ["self-made", "the host's"])
async def test_the_attested_port_with_another_certificate(machine, proxied, identity):
    shown = self_made() if identity == "self-made" else machine.steal("host")
    attested = await proxied(machine.attested_port, man_in_the_middle(shown))
    with pytest.raises(TransportError, match="not the enclave whose certificate was given"):
        await try_to_send_secrets(machine.connection(attested_port=attested.port))
    assert attested.accepted == 0  # no handshake was completed
    assert attested.seen[TO_SERVER] == b""  # not even the beginning of HTTP/2


async def test_the_untrusted_port_with_a_self_made_certificate(machine, proxied):
    untrusted = await proxied(machine.untrusted_port, man_in_the_middle(self_made()))
    with pytest.raises(TransportError):
        await try_to_send_secrets(machine.connection(untrusted_port=untrusted.port))
    assert untrusted.seen[TO_SERVER] == b""


async def test_the_untrusted_port_may_be_anybodys_where_no_certificate_was_given(
    machine, proxied, opened
):
    """The evidence carries the trust: a relay of it changes nothing, and reads no secret."""
    untrusted = await proxied(machine.untrusted_port, man_in_the_middle(self_made()))
    attested = await proxied(machine.attested_port)
    connection = await opened(
        machine.connection(
            certificate=None, untrusted_port=untrusted.port, attested_port=attested.port
        )
    )
    reply = await connection.predict("echo", SECRET_INPUT, sign=True)
    assert reply.output[0].bytes_data == SECRET_INPUT.tobytes()
    assert untrusted.seen[TO_SERVER]
    assert_nothing_read(untrusted, attested)


async def test_both_ports_in_one_hand_without_the_enclaves_key(machine, proxied):
    untrusted = await proxied(machine.untrusted_port, man_in_the_middle(self_made()))
    attested = await proxied(machine.attested_port, man_in_the_middle(self_made()))
    with pytest.raises(TransportError):
        await try_to_send_secrets(
            machine.connection(
                certificate=None, untrusted_port=untrusted.port, attested_port=attested.port
            )
        )
    assert attested.seen[TO_SERVER] == b""
    assert_nothing_read(untrusted)


async def test_the_untrusted_port_relayed_with_the_hosts_stolen_key_and_a_forged_certificate(
    machine, proxied
):
    """The host swaps the enclave's certificate for one whose key it has: the quote says no."""
    mine = make_enclave_identity()

    def swap(path, _request, reply):
        if path != EVIDENCE:
            return reply
        message = pb.GetSgxQuoteWithCollateralReply.FromString(reply)
        message.enclave_held_data = mine.certificate
        return message.SerializeToString()

    attested = await proxied(
        machine.attested_port, man_in_the_middle((mine.tls_key_pem, mine.certificate_pem))
    )
    async with Relay(
        machine.untrusted_port, machine.server.host_certificate_pem, machine.steal("host"), swap
    ) as relay:
        with pytest.raises(EnclaveHeldDataError):
            await try_to_send_secrets(
                machine.connection(untrusted_port=relay.port, attested_port=attested.port)
            )
        assert [path for path, _ in relay.requests].count(EVIDENCE) == 1
    assert attested.accepted == 0


async def test_evidence_of_another_genuine_enclave_does_not_open_this_port(
    machine, start_machine, model_file, proxied
):
    """Replayed evidence: all of it holds, and the channel is pinned to where it belongs."""
    other = await start_machine(models={"echo": model_file})
    attested = await proxied(machine.attested_port, man_in_the_middle(machine.steal()))
    with pytest.raises(TransportError, match="not the enclave whose certificate was given"):
        await try_to_send_secrets(
            other.connection(attested_port=attested.port, untrusted_port=other.untrusted_port)
        )
    assert attested.accepted == 0  # no handshake was completed
    assert attested.seen[TO_SERVER] == b""


async def test_a_genuine_enclave_with_other_code(machine, start_machine, proxied):
    platform = machine.quoting.platform
    other_code = platform.with_changes({"enclave.mr_enclave": bytes(32)})
    other = await start_machine(other_code)
    attested = await proxied(other.attested_port)
    connection = machine.connection(
        attested_port=attested.port,
        untrusted_port=other.untrusted_port,
        certificate=other.host_certificate,
    )
    with pytest.raises(IdentityError):
        await try_to_send_secrets(connection)
    assert attested.accepted == 0


async def test_an_enclave_that_the_attackers_own_root_vouches_for(machine, start_machine, proxied):
    other = await start_machine(EmulatedPlatform(mr_enclave=machine.quoting.platform.mr_enclave))
    attested = await proxied(other.attested_port)
    connection = machine.connection(
        attested_port=attested.port,
        untrusted_port=other.untrusted_port,
        certificate=other.host_certificate,
    )
    with pytest.raises(NotAnEnclaveError):
        await try_to_send_secrets(connection)
    assert attested.accepted == 0


@pytest.mark.parametrize("given", [True, False], ids=["certificate given", "none given"])
async def test_ports_swapped(machine, proxied, given):
    attested = await proxied(machine.untrusted_port, man_in_the_middle(machine.steal("host")))
    untrusted = await proxied(machine.attested_port, man_in_the_middle(machine.steal()))
    options = {} if given else {"certificate": None}
    with pytest.raises(TransportError):
        await try_to_send_secrets(
            machine.connection(
                attested_port=attested.port, untrusted_port=untrusted.port, **options
            )
        )
    assert_nothing_read(attested, untrusted)


async def test_the_attested_port_led_to_another_enclave_in_the_middle_of_a_connection(
    machine, start_machine, model_file, proxied, opened
):
    """The evidence that is fetched then is still this machine's: the other one is not accepted."""
    other = await start_machine(models={"echo": model_file})
    attested = await proxied(machine.attested_port)
    connection = await opened(machine.connection(attested_port=attested.port))
    await connection.predict("echo", SECRET_INPUT)
    relay = await proxied(other.attested_port, man_in_the_middle(other.steal()))
    attested.upstream_port = relay.port
    await attested.cut_all()
    with pytest.raises(BlindAIError):
        await connection.predict("echo", SECRET_INPUT, timeout=5)
    assert attested.accepted >= 2  # it did come back, and was met by the other one
    assert relay.seen[TO_SERVER] == b""


@pytest.mark.parametrize("port", ["attested", "untrusted", "untrusted, no certificate given"])
async def test_tls_stripped(machine, proxied, port):
    name = port.split(",")[0]
    stripped = await proxied(getattr(machine, f"{name}_port"), no_tls())
    options = {f"{name}_port": stripped.port}
    if port != name and "," in port:
        options["certificate"] = None
    with pytest.raises(TransportError):
        await try_to_send_secrets(machine.connection(**options))
    assert stripped.accepted
    assert bytes(stripped.seen[TO_SERVER][:1]) in (b"", b"\x16")  # a TLS handshake, if anything
    assert b"PRI * HTTP/2.0" not in stripped.seen[TO_SERVER]
    assert_nothing_read(stripped)


async def test_a_simulation_server_in_the_place_of_an_enclave(machine, start_server, proxied):
    simulation = await start_server()
    attested = await proxied(simulation.attested_port)
    with pytest.raises(HardwareModeUnsupportedError):
        await try_to_send_secrets(
            machine.connection(
                attested_port=attested.port,
                untrusted_port=simulation.untrusted_port,
                certificate=None,
            )
        )
    assert attested.accepted == 0


async def test_a_man_in_the_middle_that_comes_later_in_simulation_mode_is_refused(
    machine, proxied, opened
):
    """Simulation mode trusts whoever is met first, and never another one after that."""
    attested = await proxied(machine.attested_port)
    connection = await opened(connection_to(machine, simulation=True, attested_port=attested.port))
    await connection.predict("echo", SECRET_INPUT)
    relay = await proxied(machine.attested_port, man_in_the_middle(self_made()))
    attested.upstream_port = relay.port
    await attested.cut_all()
    with pytest.raises(TransportError) as caught:
        await connection.predict("echo", SECRET_INPUT, timeout=5)
    assert not isinstance(caught.value, AttestationError)
    assert attested.accepted >= 2  # it did come back, and was met by the other one
    assert relay.seen[TO_SERVER] == b""
