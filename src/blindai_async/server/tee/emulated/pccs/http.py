"""As much of HTTP/1.1 as a PCCS needs (RFC 9112): GET without a body, one answer after another."""

from __future__ import annotations

import asyncio
import socket
import struct
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter

    from blindai_async.server.tee.emulated.pccs.answers import Answer
    from blindai_async.server.tee.emulated.pccs.faults import Fault

__all__ = ["MAX_HEAD", "Request", "RequestError", "read_request", "reset", "write_answer"]

MAX_HEAD = 16_384
_PIECE = 65_536
_LONGEST_WAIT = 86_400.0


class RequestError(Exception):
    """A request that is answered with an error, and the connection closed.

    Attributes:
        status: of HTTP.
    """

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Request(NamedTuple):
    """A request.

    Attributes:
        target: path and query, as they stand in the request.
        keep_alive: whether the connection stays open after the answer.
    """

    target: str
    keep_alive: bool


async def read_request(reader: StreamReader) -> Request | None:
    """Read one request; None where the peer has closed the connection.

    Raises:
        RequestError: it is none that is answered.
    """
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if not error.partial:
            return None
        raise RequestError(400) from None
    except asyncio.LimitOverrunError:
        raise RequestError(431) from None
    first, *lines = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    match first.split(" "):
        case ["GET", target, ("HTTP/1.1" | "HTTP/1.0") as version] if target.startswith("/"):
            pass
        case [_, _, "HTTP/1.1" | "HTTP/1.0"]:
            raise RequestError(405)
        case _:
            raise RequestError(400)
    headers = _headers(lines)
    if headers.keys() & {"content-length", "transfer-encoding"}:
        raise RequestError(400)  # a body that would be taken for the next request
    if "host" not in headers and version == "HTTP/1.1":
        raise RequestError(400)
    connection = headers.get("connection", "").lower()
    keep_alive = connection != "close" if version == "HTTP/1.1" else connection == "keep-alive"
    return Request(target, keep_alive)


def _headers(lines: list[str]) -> dict[str, str]:
    headers = {}
    for line in lines:
        name, separator, value = line.partition(":")
        if not separator or not name or name.strip() != name:
            raise RequestError(400)
        headers[name.lower()] = value.strip()
    return headers


async def write_answer(
    writer: StreamWriter, answer: Answer, fault: Fault, *, keep_alive: bool
) -> bool:
    """Write an answer, as wrong as the fault says; returns whether the connection stays open."""
    length = len(answer.body) + fault.excess
    keep_alive = keep_alive and fault.announced and fault.cut is None
    headers = answer.headers | {"Connection": "keep-alive" if keep_alive else "close"}
    if fault.announced:
        headers["Content-Length"] = str(length)
    reason = HTTPStatus(answer.status).phrase
    head = [f"HTTP/1.1 {answer.status} {reason}", *(f"{n}: {v}" for n, v in headers.items())]
    if fault.wait:
        await asyncio.sleep(min(fault.wait, _LONGEST_WAIT))
    writer.write("\r\n".join((*head, "", "")).encode("latin-1"))
    await _write_body(writer, answer.body[: fault.cut], fault.pause)
    for start in range(0, fault.excess, _PIECE):
        writer.write(b" " * min(_PIECE, fault.excess - start))
        await writer.drain()
    return keep_alive


async def _write_body(writer: StreamWriter, body: bytes, pause: float) -> None:
    if not pause:
        writer.write(body)
        await writer.drain()
        return
    for start in range(len(body)):
        writer.write(body[start : start + 1])
        await writer.drain()
        await asyncio.sleep(pause)


def reset(writer: StreamWriter) -> None:
    """Reset the connection: the peer sees an error, not an end."""
    raw = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
