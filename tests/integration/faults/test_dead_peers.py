"""Dead peers are noticed, silent ones are not taken for dead, and no server feels attacked.

The intervals are a twentieth of the real ones, and with them the peer: a gRPC server with default
settings, which ends a connection at the fourth ping that it has answered with nothing of its own.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time

import pytest
from machine import SECRET_INPUT
from relay import Relay

from blindai_async import RetryPolicy
from blindai_async._transport.channels import ChannelLimits
from blindai_async.errors import TransportError

pytestmark = pytest.mark.slow

SCALE = 0.05
DEFAULTS = ChannelLimits(max_reply_bytes=1 << 20)


def with_limits(connection, **changes):
    """The same connection, unopened, with other intervals."""
    scaled = {
        name: getattr(DEFAULTS, name) * SCALE
        for name in ("keepalive_time", "keepalive_timeout", "heartbeat")
    }
    limits = ChannelLimits(max_reply_bytes=1 << 20, **(scaled | changes))
    manager = connection._manager
    manager._config = dataclasses.replace(manager._config, limits=limits)
    return connection


@pytest.fixture
async def silent_relay(machine):
    """Passes predictions on, and keeps their answers back for as long as a test says."""
    async with Relay(machine.attested_port, machine.steal()[1], machine.steal()) as relay:
        relay.silence = 0.0

        async def keep_back(path, _request, reply):
            if path.endswith("RunModel"):
                await asyncio.sleep(relay.silence)
            return reply

        relay.tamper = keep_back
        yield relay


def test_the_real_intervals_notice_a_dead_peer_within_half_a_minute():
    assert DEFAULTS.keepalive_time + DEFAULTS.keepalive_timeout <= 30


@pytest.mark.parametrize("silence", [0.0, 3.0], ids=["at once", "after long silence"])
async def test_a_dead_peer_is_noticed(machine, silent_relay, proxied, opened, silence):
    network = await proxied(silent_relay.port)
    untrusted = await proxied(machine.untrusted_port)
    connection = with_limits(
        machine.connection(
            attested_port=network.port,
            untrusted_port=untrusted.port,
            retry=RetryPolicy(attempts=1),
        )
    )
    await opened(connection)
    await connection.predict("echo", SECRET_INPUT)
    silent_relay.silence = 60.0
    call = asyncio.ensure_future(connection.predict("echo", SECRET_INPUT, timeout=60))
    await asyncio.sleep(0.1 + silence)
    network.faults.blackhole = untrusted.faults.blackhole = True  # the whole machine
    died = time.monotonic()
    with pytest.raises(TransportError) as caught:
        await call
    assert caught.value.code == "UNAVAILABLE"
    # What gRPC adds by itself does not shrink with the intervals.
    assert time.monotonic() - died < 30 * SCALE + 0.8


async def test_a_silent_call_is_not_ended_by_a_server_that_counts_pings(
    machine, silent_relay, opened
):
    """It counts: without the heartbeat it does end the call."""

    async def silent_call(**limits):
        connection = machine.connection(
            attested_port=silent_relay.port, retry=RetryPolicy(attempts=1)
        )
        await opened(with_limits(connection, **limits))
        return await connection.predict("echo", SECRET_INPUT, timeout=60)

    silent_relay.silence = 6.0  # twelve pings
    reply, error = await asyncio.gather(
        silent_call(), silent_call(heartbeat=1000.0), return_exceptions=True
    )
    assert reply.output[0].bytes_data == SECRET_INPUT.tobytes()
    assert isinstance(error, TransportError)
    assert error.details == "Too many pings"


async def test_a_connection_at_rest_sends_nothing(machine, proxied, opened):
    network = await proxied(machine.attested_port)
    connection = await opened(with_limits(machine.connection(attested_port=network.port)))
    await connection.predict("echo", SECRET_INPUT)
    await asyncio.sleep(1.2)
    sent = len(network.seen["to server"])
    await asyncio.sleep(1.5)
    assert len(network.seen["to server"]) == sent
