"""gRPC channels: made here and nowhere else, always TLS, always under one root."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar

import grpc
from pydantic import BaseModel, ConfigDict, PositiveFloat, PositiveInt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from grpc.aio import Channel, ClientInterceptor

    from blindai_async._transport.deadline import Deadline

# Evidence takes some 25 KB; whoever answers on the untrusted port may send more only in vain.
MAX_UNTRUSTED_REPLY = 4 << 20


class ChannelLimits(BaseModel):
    """What a channel may carry, and when its peer counts as dead.

    Attributes:
        max_reply_bytes: the largest message that is received.
        max_streams: calls under way at once. RFC 9113, section 6.5.2, recommends servers to allow
            no fewer than 100.
        keepalive_time: seconds without a sign of life after which the peer is pinged.
        keepalive_timeout: seconds that it has to answer; a peer that computes may be slow to. Both
            together are what it takes to notice that a peer is dead.
        heartbeat: seconds between the requests that keep a silent call's pings from being taken for
            an attack (see `Heartbeat`).
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(defer_build=True, frozen=True, extra="forbid")

    max_reply_bytes: PositiveInt
    max_streams: PositiveInt = 100
    keepalive_time: PositiveFloat = 10.0
    keepalive_timeout: PositiveFloat = 10.0
    heartbeat: PositiveFloat = 20.0


def open_channel(
    target: str,
    *,
    root_pem: bytes,
    server_name: str,
    limits: ChannelLimits,
    interceptors: Sequence[ClientInterceptor] = (),
) -> Channel:
    """Make a channel whose peer has to show the certificate `root_pem`, or one issued by it.

    No I/O: gRPC connects with the first call. To be called inside the running loop.
    """
    options: list[tuple[str, int | str]] = [
        ("grpc.ssl_target_name_override", server_name),
        ("grpc.max_receive_message_length", limits.max_reply_bytes),
        ("grpc.max_send_message_length", -1),
        ("grpc.keepalive_time_ms", int(limits.keepalive_time * 1000)),
        ("grpc.keepalive_timeout_ms", int(limits.keepalive_timeout * 1000)),
        # This is the one that counts for a ping, and it is a minute where nobody says otherwise.
        ("grpc.http2.ping_timeout_ms", int(limits.keepalive_timeout * 1000)),
        # gRPC would stop after two, and not notice a peer that dies later in a long call.
        ("grpc.http2.max_pings_without_data", 0),
        # A compressed reply is refused: gRPC before 1.84 unpacks it whole before it looks at the
        # size, which may be a thousand times what was allowed. No 0.5 server compresses.
        ("grpc.compression_enabled_algorithms_bitset", 1),
        # A channel that has rested for half an hour would give up its connection, and look like
        # one whose server has gone.
        ("grpc.client_idle_timeout_ms", 2**31 - 1),
        # gRPC shares connections between channels with equal settings. Ours are pinned, each to its
        # own peer and life: closing one must close it.
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.initial_reconnect_backoff_ms", 100),
        # In spite of its name: the time that TCP and TLS have for one attempt to connect.
        ("grpc.min_reconnect_backoff_ms", 5_000),
        ("grpc.max_reconnect_backoff_ms", 2_000),
        ("grpc.enable_retries", 0),  # it silently stops for large requests; the SDK retries
    ]
    return grpc.aio.secure_channel(
        target,
        grpc.ssl_channel_credentials(root_certificates=root_pem),
        options=options,
        interceptors=list(interceptors) or None,
    )


async def wait_until_ready(channel: Channel, deadline: Deadline) -> bool:
    """Connect the channel: TCP, and TLS with the pinned certificate. No call is made.

    Returns:
        Whether it is connected; False where nobody answers, or somebody with another certificate.

    Raises:
        DeadlineExceededError: neither in time.
    """
    ready, failed = grpc.ChannelConnectivity.READY, grpc.ChannelConnectivity.TRANSIENT_FAILURE
    try:
        async with asyncio.timeout(deadline.remaining()):
            while (state := channel.get_state(try_to_connect=True)) is not ready:
                if state is failed:
                    return False
                await channel.wait_for_state_change(state)
    except TimeoutError:
        raise deadline.exceeded() from None
    return True
