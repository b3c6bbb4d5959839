"""gRPC's errors as the package's: which are refusals, and what may stand in a message."""

from __future__ import annotations

import pickle

import grpc
import pytest
from grpc.aio import AioRpcError, Metadata
from hypothesis import given
from hypothesis import strategies as st

from blindai_async._transport.rpc_errors import from_rpc_error, printable
from blindai_async.errors import DeadlineExceededError, RequestRejectedError, TransportError

FAILURES = [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK]

# The server's last word: the same request gets the same answer.
REFUSALS = {
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "FAILED_PRECONDITION",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "UNAUTHENTICATED",
}


def error(code, details="details"):
    return AioRpcError(code, Metadata(), Metadata(), details=details)


@pytest.mark.parametrize("code", FAILURES, ids=lambda code: code.name)
def test_every_status_has_its_error(code):
    mapped = from_rpc_error(error(code), "predict")
    expected = TransportError
    if code.name in REFUSALS:
        expected = RequestRejectedError
    elif code is grpc.StatusCode.DEADLINE_EXCEEDED:
        expected = DeadlineExceededError
    assert type(mapped) is expected
    assert isinstance(mapped, ConnectionError)
    assert (mapped.code, mapped.details) == (code.name, "details")
    assert str(mapped).startswith(f"predict: {code.name}: details")
    assert vars(pickle.loads(pickle.dumps(mapped))) == vars(mapped)


def test_no_details_leave_no_colon():
    assert str(from_rpc_error(error(grpc.StatusCode.INTERNAL, None), "x")) == "x: INTERNAL"
    assert from_rpc_error(error(grpc.StatusCode.INTERNAL, None), "x").details == ""


@pytest.mark.parametrize(
    ("code", "hint"),
    [
        (grpc.StatusCode.UNAVAILABLE, "same enclave"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "max_reply_bytes"),
        (grpc.StatusCode.UNIMPLEMENTED, "swapped"),
        (grpc.StatusCode.PERMISSION_DENIED, "api_key"),
        (grpc.StatusCode.UNAUTHENTICATED, "api_key"),
    ],
)
def test_what_to_do_is_said(code, hint):
    assert hint in str(from_rpc_error(error(code), "predict"))


@given(st.text(max_size=700))
def test_printable_text_is_one_line_and_bounded(text):
    shown = printable(text)
    assert shown == "" or shown.isprintable()
    assert len(shown) <= 500
    if text.isprintable() and len(text) <= 500:
        assert shown == text


@pytest.mark.parametrize(
    "bad", ["\n", "\r", "\x1b", "\x07", "\x00", "\x7f", "\x9b", "\u202e", "\u2028", "\ud800"]
)
def test_nothing_that_moves_a_terminal_or_begins_a_line_passes(bad):
    assert printable(f"a{bad}b") == "a b"


def test_long_text_is_cut_and_says_so():
    assert printable("a" * 501) == "a" * 499 + "…"
    assert printable("a" * 500) == "a" * 500
    assert printable("abcdef", limit=4) == "abc…"
