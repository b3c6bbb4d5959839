"""gRPC's errors as the package's: which are refusals, and what may stand in a message."""

from __future__ import annotations

import pickle

import grpc
import pytest
from grpc.aio import AioRpcError, Metadata

from blindai_async._transport.rpc_errors import from_rpc_error
from blindai_async.errors import (
    DeadlineExceededError,
    ModelNotFoundError,
    RequestRejectedError,
    TensorMismatchError,
    TransportError,
)

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


@pytest.mark.parametrize(
    ("code", "details", "kind"),
    [
        ("INVALID_ARGUMENT", "Model doesn't exist", ModelNotFoundError),
        ("INVALID_ARGUMENT", "Tensor serialization error", TensorMismatchError),
        ("UNKNOWN", "Incompatible tensor input: input 0 is F64", TensorMismatchError),
        ("INVALID_ARGUMENT", "Input is too big", RequestRejectedError),
        ("UNKNOWN", "The inference failed: Incompatible tensor input: no", RequestRejectedError),
        ("PERMISSION_DENIED", "Model doesn't exist", RequestRejectedError),
        ("UNAVAILABLE", "Model doesn't exist", TransportError),
        ("INTERNAL", "Incompatible tensor input: x", TransportError),
    ],
)
def test_the_refusals_that_callers_tell_apart_have_their_classes(code, details, kind):
    mapped = from_rpc_error(error(getattr(grpc.StatusCode, code), details), "predict")
    assert type(mapped) is kind
    assert details in str(mapped)
    again = pickle.loads(pickle.dumps(mapped))
    assert type(again) is kind
    assert vars(again) == vars(mapped)


def test_a_shape_that_does_not_fit_is_explained():
    mapped = from_rpc_error(
        error(grpc.StatusCode.UNKNOWN, "Incompatible tensor input: input 0 is F64"), "predict"
    )
    assert "astype(numpy.float32)" in str(mapped)
