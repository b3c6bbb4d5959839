"""Signed JSON: what is interpreted is what is signed, whatever is thrown at it."""

from __future__ import annotations

import json
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blindai_async.attestation.dcap.signed_json import MAX_JSON_NESTING, parse_signed_json
from blindai_async.attestation.parsing import MAX_JSON_CHARS, EvidenceError

SIGNATURE = "0123456789abcdefABCDEF" + "0" * 106

plain = st.text(st.sampled_from("abcXYZ _-.:,'&"))
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | plain,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(plain, inner, max_size=3),
    max_leaves=20,
)


def document(inner: str, name: str = "tcbInfo", signature: str = SIGNATURE) -> str:
    return f'{{"{name}":{inner},"signature":"{signature}"}}'


def parse(text: str) -> object:
    return parse_signed_json(text, "tcbInfo").content


@given(st.dictionaries(plain, values, max_size=5), st.sampled_from([None, 1, "\t"]))
def test_the_signed_bytes_are_those_that_were_decoded(
    content: dict[str, object], indent: int | str | None
) -> None:
    inner = json.dumps(content, indent=indent)
    parsed = parse_signed_json(document(inner), "tcbInfo")
    assert parsed.content == content
    assert parsed.signed_part == inner.encode()
    backwards = f' {{ "signature" : "{SIGNATURE}" ,\n"tcbInfo":\t{inner} }} \n'
    assert parse_signed_json(backwards, "tcbInfo") == parsed


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        "null",
        '{"tcbInfo":{}}',
        f'{{"signature":"{SIGNATURE}"}}',
        document("{}", name="tcbinfo"),
        document("{}", name="enclaveIdentity"),
        document("[]"),
        document("null"),
        document('"{}"'),
        document("{}", signature=SIGNATURE[1:]),
        document("{}", signature=SIGNATURE + "0"),
        document("{}", signature="g" + SIGNATURE[1:]),
        document("{}") + "{}",
        document("{}") + "\0",
        "\ufeff" + document("{}"),
        document("{}").replace('"signature"', '"tcbInfo":{},"signature"'),
        document("{}").replace("{}", '{},"more":1'),
        document("{}")[:-1] + f',"signature":"{SIGNATURE}"}}',
        f'{{"signature":"{SIGNATURE}","tcbInfo":{{}},"signature":"{SIGNATURE}"}}',
        document("{"),
        document("}"),
        document("{}}"),
        document('{"a":1,}'),
        document("{'a':1}"),
        document('{"a":1 "b":2}'),
        document('{"a":01}'),
        document('{"a":+1}'),
        document('{"a":0x1}'),
        document('{"a":"\n"}'),
        document('{"a":1}//'),
    ],
)
def test_anything_but_the_object_and_its_signature_is_refused(text: str) -> None:
    with pytest.raises(EvidenceError):
        parse(text)


@pytest.mark.parametrize(
    "inner",
    [
        '{"a":1,"a":2}',
        '{"a":1,"a":1}',
        '{"x":[{"y":{"a":1,"b":2,"a":3}}]}',
        '{ "a" : 1 , "a" : 2 }',
        '{"a":1,"\\u0061":2}',
        '{"\\u0061":1}',
        '{"a":"\\ud800"}',
        '{"a":"\u00e9"}',
        '{"a":"\ud800"}',
        '{"a":\u0661}',
        '{"a":1.0}',
        '{"a":1e3}',
        '{"a":-0.5}',
        '{"a":NaN}',
        '{"a":Infinity}',
        '{"a":-Infinity}',
        '{"a":"[","b":"]"}',
        '{"a":"}"}',
        '{"a":' + "9" * 100_000 + "}",
        '{"a":' + "[" * MAX_JSON_NESTING + "]" * MAX_JSON_NESTING + "}",
    ],
)
def test_what_readers_could_understand_differently_is_refused(inner: str) -> None:
    with pytest.raises(EvidenceError):
        parse(document(inner))


def test_the_deepest_nesting_that_is_read() -> None:
    depth = MAX_JSON_NESTING - 2  # the document itself, and its inner object
    assert parse(document('{"a":' + "[" * depth + "]" * depth + "}"))
    mixed = '{"a":[' * (depth // 2) + "]}" * (depth // 2)
    assert parse(document('{"a":' + mixed + "}"))


def test_bombs_are_refused_in_bounded_time() -> None:
    start = time.perf_counter()
    half = (MAX_JSON_CHARS - 200) // 2
    bombs = [
        "[" * half + "]" * half,
        '{"a":' * (half // 4) + "1" + "}" * (half // 4),
        '["]",' * (half // 3) + "1" + ',"["]' * (half // 3),
        '"' * half * 2,
        "9" * half * 2,
        "-" * half * 2,
        " " * half * 2,
        '{"a":1,"a":1' * (half // 6),
        "[" + "1234567890," * (half // 6) + "1]",
    ]
    for bomb in bombs:
        with pytest.raises(EvidenceError):
            parse(document(f'{{"x":{bomb},"x":1}}'))
        with pytest.raises(EvidenceError):
            parse(bomb)
    with pytest.raises(EvidenceError, match="more than"):
        parse(document("[" * (64 << 20)))
    assert time.perf_counter() - start < 5


def test_long_numbers_cost_little_even_where_the_interpreters_own_limit_is_off() -> None:
    limit = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    try:
        start = time.perf_counter()
        assert parse(document('{"a":' + "9" * (MAX_JSON_CHARS - 200) + "}"))
        assert time.perf_counter() - start < 2
    finally:
        sys.set_int_max_str_digits(limit)


@given(st.text(max_size=200), st.text(alphabet='{}[]":,\\ntrue01-.eE \t', max_size=60))
def test_arbitrary_text_raises_nothing_else(text: str, likely: str) -> None:
    for candidate in (text, likely, document(text), document(likely), document(f"{{{likely}}}")):
        try:
            parsed = parse_signed_json(candidate, "tcbInfo")
        except EvidenceError:
            continue
        # The bytes that are signed say, to any reader of JSON, what was interpreted.
        assert json.loads(parsed.signed_part) == parsed.content
