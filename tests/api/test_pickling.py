"""Errors travel between processes, with all that they carry."""

from __future__ import annotations

import copy
import inspect
import pickle
from typing import Any

import pytest

from blindai_async import errors
from blindai_async.attestation import BUILT_IN_POLICY

ARGUMENTS: dict[str, Any] = {
    "policy": BUILT_IN_POLICY,
    "claims": None,
    "expected_hash": "aa" * 32,
    "measured_hash": "bb" * 32,
    "step": 7,
    "status": "OutOfDate",
    "url": "https://pccs.example/sgx/certification/v4/qe/identity",
    "advisory_ids": ("INTEL-SA-00615",),
    "server_version": "0.6.0",
    "code": "UNAVAILABLE",
    "details": "no route",
    "key": "mr_enclave",
}

PUBLIC = [
    getattr(errors, name)
    for name in errors.__all__
    if issubclass(getattr(errors, name), errors.BlindAIError)
]


def make(kind: type[errors.BlindAIError]) -> errors.BlindAIError:
    """An error with another value than the default in every attribute."""
    parameters = inspect.signature(kind.__init__).parameters
    return kind("what happened", **{key: ARGUMENTS[key] for key in parameters if key in ARGUMENTS})


@pytest.mark.parametrize("kind", PUBLIC, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_an_error_survives_pickling(kind: type[errors.BlindAIError], protocol: int) -> None:
    error = make(kind)
    again = pickle.loads(pickle.dumps(error, protocol))
    assert type(again) is kind
    assert str(again) == "what happened"
    assert vars(again) == vars(error)


@pytest.mark.parametrize("kind", PUBLIC, ids=lambda kind: kind.__name__)
def test_an_error_survives_copying(kind: type[errors.BlindAIError]) -> None:
    error = make(kind)
    again = copy.deepcopy(error)
    assert type(again) is kind
    assert vars(again) == vars(error)


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [
        (errors.TransportError, ConnectionError),
        (errors.DeadlineExceededError, TimeoutError),
        (errors.ConnectionClosedError, ValueError),
        (errors.TensorError, ValueError),
        (errors.PolicyFormatError, ValueError),
        (errors.ProofFormatError, ValueError),
    ],
)
def test_existing_handlers_go_on_catching(
    kind: type[errors.BlindAIError], builtin: type[Exception]
) -> None:
    assert isinstance(make(kind), builtin)
