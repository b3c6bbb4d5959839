"""The errors' places among each other and among the builtin ones. Pickling: tests/api."""

from __future__ import annotations

import inspect

import pytest

from blindai_async import errors

TREE = {
    "AttestationError": ("BlindAIError",),
    "IdentityError": ("AttestationError",),
    "DebugNotAllowedError": ("AttestationError",),
    "QuoteValidationError": ("AttestationError",),
    "NotAnEnclaveError": ("QuoteValidationError",),
    "EnclaveHeldDataError": ("QuoteValidationError",),
    "TcbStatusError": ("QuoteValidationError",),
    "SignatureError": ("BlindAIError",),
    "SimulationProofError": ("AttestationError", "SignatureError"),
    "ProofFormatError": ("BlindAIError", "ValueError"),
    "HardwareModeUnsupportedError": ("BlindAIError",),
    "VersionError": ("BlindAIError",),
    "TransportError": ("BlindAIError", "ConnectionError"),
    "DeadlineExceededError": ("TransportError", "TimeoutError"),
    "RequestRejectedError": ("TransportError",),
    "ModelNotFoundError": ("RequestRejectedError",),
    "TensorMismatchError": ("RequestRejectedError",),
    "CloudLookupError": ("TransportError",),
    "CollateralError": ("TransportError",),
    "ConnectionClosedError": ("BlindAIError", "ValueError"),
    "TensorError": ("BlindAIError", "ValueError"),
    "PolicyFormatError": ("BlindAIError", "ValueError"),
}


@pytest.mark.parametrize(("name", "bases"), TREE.items())
def test_every_error_stands_where_existing_code_looks_for_it(name, bases):
    error = getattr(errors, name)
    assert tuple(base.__name__ for base in error.__bases__) == bases
    assert name in errors.__all__


def test_no_error_is_left_out():
    public = {
        name
        for name, thing in vars(errors).items()
        if inspect.isclass(thing) and issubclass(thing, errors.BlindAIError)
    }
    assert public - {"BlindAIError"} >= set(TREE)
    assert public <= set(errors.__all__)


def test_what_proves_nothing_is_never_taken_for_a_network_fault():
    """Retry loops catch ConnectionError: a failed proof must not be tried until it holds."""
    for name in ("AttestationError", "SignatureError", "ProofFormatError", "VersionError"):
        assert not issubclass(getattr(errors, name), OSError)


def test_a_transport_error_is_not_mistaken_for_an_errno():
    error = errors.TransportError("predict: no", code="UNAVAILABLE", details="d")
    assert error.errno is None
    assert str(error) == "predict: no"
    assert errors.TransportError("x").code == errors.TransportError("x").details == ""


def test_warnings_can_be_filtered_together():
    for warning in (
        errors.SimulationModeWarning,
        errors.UnverifiedHostWarning,
        errors.UntrustedRootWarning,
    ):
        assert issubclass(warning, errors.SecurityWarning)
    assert issubclass(errors.SecurityWarning, UserWarning)  # shown by default


def test_attestation_errors_carry_what_differs():
    error = errors.IdentityError("other code", expected_hash="aa", measured_hash="bb")
    assert (error.expected_hash, error.measured_hash, error.claims) == ("aa", "bb", None)
    assert errors.EnclaveHeldDataError("m", expected_hash="a", measured_hash="b").step == 12
    status = errors.TcbStatusError("m", status="Revoked", advisory_ids=["INTEL-SA-1"])
    assert (status.step, status.advisory_ids) == (11, ("INTEL-SA-1",))
