"""Checks of what callers pass to `connect` and to calls, before anything is sent."""

from __future__ import annotations

from blindai_async.options import Batching, RetryPolicy, Timeouts

# gRPC keeps the size in an int of 32 bits.
_MAX_MESSAGE_BYTES = 2**31 - 1


def check_options(
    timeouts: object,
    batching: object,
    retry: object,
    reattest: object,
    max_reply_bytes: object,
    chunk_size: object,
) -> None:
    """Refuse options of another kind than `connect` takes.

    Raises:
        TypeError: the kind is wrong.
        ValueError: the value is.
    """
    for name, value, model, example in (
        ("timeouts", timeouts, Timeouts, "Timeouts(call=5)"),
        ("batching", batching, Batching, "Batching()"),
        ("retry", retry, RetryPolicy, "RetryPolicy(attempts=3)"),
    ):
        if value is not None and not isinstance(value, model):
            raise TypeError(f"{name} is {value!r}; it takes a {model.__name__}: {name}={example}")
    if reattest not in {"auto", "never"}:
        raise ValueError(f'reattest is {reattest!r}; it takes "auto" or "never"')
    _check_bytes("max_reply_bytes", max_reply_bytes)
    if chunk_size is not None:
        _check_bytes("chunk_size", chunk_size)


def _check_bytes(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} is {value!r}; it takes a number of bytes")
    if not 1 <= value <= _MAX_MESSAGE_BYTES:
        raise ValueError(f"{name} is {value}; it takes 1 to {_MAX_MESSAGE_BYTES} bytes")


def check_timeout(timeout: object, name: str = "timeout") -> float:
    """Take a number of seconds, a negative one too: its time is up already.

    Raises:
        TypeError: not a number.
    """
    if not isinstance(timeout, int | float) or timeout != timeout:  # noqa: PLR0124 - NaN
        raise TypeError(f"{name} is {timeout!r}; it takes a number of seconds")
    return timeout


def check_seconds(name: str, seconds: object) -> float:
    """Take a number of seconds, 0 or more.

    Raises:
        TypeError: not a number.
        ValueError: less than 0.
    """
    checked = check_timeout(seconds, name)
    if checked < 0:
        raise ValueError(f"{name} is {seconds!r}; it takes 0 or more seconds")
    return checked


def check_model_id(model_id: object) -> None:
    """Refuse what cannot be a model's id.

    Raises:
        TypeError: not a text.
        ValueError: it is empty, or cannot be sent.
    """
    if not isinstance(model_id, str):
        raise TypeError(f"model_id is a {type(model_id).__name__}; upload_model() returns a str")
    if not model_id:
        raise ValueError("model_id is empty; upload_model() returns the id of a model")
    if not model_id.isascii():
        try:
            model_id.encode()
        except UnicodeEncodeError as error:
            raise ValueError(
                f"model_id {model_id!r} has half of a surrogate pair at {error.start}: it cannot "
                "be sent as UTF-8"
            ) from None
