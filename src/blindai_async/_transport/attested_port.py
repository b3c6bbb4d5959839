"""The three calls of the attested port, on serialized messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grpc import ChannelConnectivity
from grpc.aio import StreamUnaryClientInterceptor

from blindai_async._base_errors import RequestRejectedError
from blindai_async._transport.heartbeat import Heartbeat
from blindai_async._transport.methods import DELETE_MODEL, RUN_MODEL, SEND_MODEL
from blindai_async._transport.open_calls import OpenCalls
from blindai_async._transport.streaming import send

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Sequence

    from grpc.aio import (
        Channel,
        ClientInterceptor,
        StreamUnaryMultiCallable,
        UnaryUnaryMultiCallable,
    )


class AttestedPort:
    """Speaks to the enclave, over the channel that ends inside it.

    Args:
        channel: pinned to the enclave's certificate.
        metadata: goes with every call.
        interceptors: the caller's, as the channel has them.
        heartbeat: seconds; see `Heartbeat`.
    """

    def __init__(
        self,
        channel: Channel,
        metadata: Sequence[tuple[str, str]] = (),
        interceptors: Sequence[ClientInterceptor] = (),
        heartbeat: float = 20.0,
    ) -> None:
        self._channel = channel
        self._metadata = metadata
        self._heartbeat = Heartbeat(channel, metadata, heartbeat)
        self._calls = OpenCalls(self._heartbeat, [value for _, value in metadata])
        self._run_stream: StreamUnaryMultiCallable[bytes, bytes] = channel.stream_unary(RUN_MODEL)
        self._send_stream: StreamUnaryMultiCallable[bytes, bytes] = channel.stream_unary(SEND_MODEL)
        self._delete: UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(DELETE_MODEL)
        # On the wire a stream of one message is the same as a unary call, which costs gRPC's
        # asyncio layer less. A caller who intercepts streams is shown the streams that there are.
        streams_watched = any(isinstance(i, StreamUnaryClientInterceptor) for i in interceptors)
        self._run_single: UnaryUnaryMultiCallable[bytes, bytes] | None = (
            None if streams_watched else channel.unary_unary(RUN_MODEL)
        )

    async def run_model(self, message: bytes, timeout: float) -> bytes:
        """Send a prediction of one message; returns the serialized `RunModelReply`.

        Raises:
            TransportError: no proper answer came.
        """
        if self._run_single is None:
            return await self.run_model_in_frames((message,), timeout)
        with self._calls.bounded("predict", timeout):
            reply: bytes = await self._run_single(message, timeout=timeout, metadata=self._metadata)
            return reply

    async def run_model_in_frames(self, frames: Iterable[bytes], timeout: float) -> bytes:
        """Send a prediction's messages; returns the serialized `RunModelReply`.

        Raises:
            TransportError: no proper answer came.
        """
        with self._calls.bounded("predict", timeout):
            return await send(self._run_stream, _each(frames), timeout, self._metadata)

    async def send_model(self, frames: AsyncGenerator[bytes, None], timeout: float) -> bytes:
        """Send a model's messages; returns the serialized `SendModelReply`.

        Raises:
            TransportError: no proper answer came.
        """
        with self._calls.bounded("upload_model", timeout):
            return await send(self._send_stream, frames, timeout, self._metadata)

    async def delete_model(self, request: bytes, timeout: float) -> bytes:
        """Send a serialized `DeleteModelRequest`; returns the serialized reply.

        Raises:
            TransportError: no proper answer came.
        """
        with self._calls.bounded("delete_model", timeout):
            reply: bytes = await self._delete(request, timeout=timeout, metadata=self._metadata)
            return reply

    def is_connected(self) -> bool:
        """Tell whether the channel stands at this moment."""
        return self._channel.get_state() is ChannelConnectivity.READY

    def connect(self) -> ChannelConnectivity:
        """Let the channel connect anew where it is not connected; returns how it stands."""
        return self._channel.get_state(try_to_connect=True)

    async def ping(self, timeout: float) -> None:
        """Ask the peer for a sign of life; any answer is one.

        Raises:
            TransportError: none came.
        """
        try:
            with self._calls.bounded("ping", timeout):
                await self._heartbeat.ask(timeout)
        except RequestRejectedError:
            pass  # it has no health service, and said so

    async def wait_idle(self, seconds: float) -> None:
        """Wait until no call is under way, this long at most."""
        await self._calls.wait_idle(seconds)

    async def close(self) -> None:
        """Close the channel at once; calls under way end with a `TransportError`."""
        self._calls.close()
        await self._channel.close()


async def _each(frames: Iterable[bytes]) -> AsyncGenerator[bytes, None]:
    for frame in frames:
        yield frame
