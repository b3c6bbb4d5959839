"""What `connect` says of arguments that it does not take."""

from __future__ import annotations

import pytest

import blindai_async
from blindai_async._client.arguments import check_model_id
from blindai_async._client.connection import AsyncConnection


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"timeout": 5}, TypeError, r"connect\(\) got an unexpected keyword argument 'timeout'"),
        ({"timeouts": 5}, TypeError, r"timeouts is 5; it takes a Timeouts: .*Timeouts\(call=5\)"),
        ({"batching": True}, TypeError, r"batching is True; it takes a Batching"),
        ({"retry": 3}, TypeError, r"retry is 3; it takes a RetryPolicy"),
        ({"reattest": "maybe"}, ValueError, "reattest is 'maybe'"),
        ({"max_reply_bytes": 2**31}, ValueError, "max_reply_bytes is 2147483648; it takes 1 to"),
        ({"max_reply_bytes": 0}, ValueError, "max_reply_bytes is 0"),
        ({"max_reply_bytes": "1"}, TypeError, "max_reply_bytes is '1'"),
        ({"chunk_size": 0}, ValueError, "chunk_size is 0"),
        ({"wait": -1}, ValueError, "wait is -1"),
        ({"wait": "long"}, TypeError, "wait is 'long'"),
    ],
)
def test_a_wrong_argument_is_named_with_what_it_takes(options, error, text):
    with pytest.raises(error, match=text):
        blindai_async.connect("localhost", simulation=True, **options)


@pytest.mark.parametrize("model_id", ["m", "user/modèle", "模型"])
def test_any_text_is_a_model_id(model_id):
    check_model_id(model_id)


def test_half_a_surrogate_pair_is_not():
    with pytest.raises(ValueError, match="surrogate pair at 1"):
        check_model_id("m\ud800")


def test_a_connection_whose_constructor_failed_can_be_shown():
    assert "constructor failed" in repr(object.__new__(AsyncConnection))
