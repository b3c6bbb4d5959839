"""The reader of requests, given anything."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blindai_async.server.tee.emulated.pccs.http import (
    MAX_HEAD,
    Request,
    RequestError,
    read_request,
)

WORDS = [
    "GET",
    "POST",
    " ",
    "/",
    "/tcb?fmspc=00",
    "HTTP/1.1",
    "HTTP/1.0",
    "\r\n",
    ":",
    "Host",
    "x",
    "Connection",
    "close",
    "Content-Length",
    "\r\n\r\n",
    "ÿ",
    "\x00",
]
TEXTS = st.lists(st.sampled_from(WORDS), max_size=30).map("".join)


def read(*pieces):
    async def feed():
        reader = asyncio.StreamReader(limit=MAX_HEAD)
        for piece in pieces:
            reader.feed_data(piece)
        reader.feed_eof()
        return await read_request(reader)

    return asyncio.run(feed())


@given(st.one_of(st.binary(max_size=200), TEXTS.map(lambda text: text.encode("latin-1"))))
def test_anything_is_a_request_or_an_error_or_the_end(data):
    status, request = None, None
    try:
        request = read(data)
    except RequestError as error:
        status = error.status
    assert status in {None, 400, 405, 431}
    assert request is None or request.target.startswith("/")


@given(st.integers(0, 60))
def test_a_request_may_come_in_pieces(cut):
    text = b"GET /a?b=c HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\n"
    assert read(text[:cut], text[cut:]) == Request("/a?b=c", keep_alive=True)


@pytest.mark.parametrize(
    ("version", "connection", "stays"),
    [
        ("1.1", "", True),
        ("1.1", "Connection: Close\r\n", False),
        ("1.0", "", False),
        ("1.0", "Connection: keep-alive\r\n", True),
    ],
)
def test_the_connection_stays_open_as_the_client_wants(version, connection, stays):
    text = f"GET / HTTP/{version}\r\nHost: x\r\n{connection}\r\n"
    assert read(text.encode()) == Request("/", keep_alive=stays)
