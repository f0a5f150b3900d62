"""Would fail if a body of an mly client were refused, or text that is not JSON were read as if it were."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlserve.errors import BadRequest
from mlserve.protocols.json_text import MAX_DEPTH, loads


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b'{"a":1}', {"a": 1}),
        (b' {"a" : 1}\r\n', {"a": 1}),
        (b'{"a":1,"a":2}', {"a": 2}),
        (b'{"a":"\t\n\x00\x1b"}', {"a": "\t\n\x00\x1b"}),
        (b'{"a":"\t","a":2}', {"a": 2}),
        (b'{"a":"\xff\xfe"}', {"a": "\udcff\udcfe"}),
        (b'{"a":"\xed\xa0\x80"}', {"a": "\udced\udca0\udc80"}),
        (b'{"a":"\t\\ud83d\\ude00 \\\\ud800 \\u00e9 \\/"}', {"a": "\t\U0001f600 \\ud800 \u00e9 /"}),
        (b'\xef\xbb\xbf{"a":1}', {"a": 1}),
        (b'{"a":-0}', {"a": 0}),
        (b'{"a":18446744073709551615}', {"a": 2**64 - 1}),
        (b'{"a":"\t","b":18446744073709551616}', {"a": "\t", "b": 2**64}),
        (b'{"a":"\t","b":[1e-400,1.5e3]}', {"a": "\t", "b": [0.0, 1500.0]}),
    ],
)
def test_leniency(text: bytes, value: Any) -> None:
    assert loads(text) == value


@pytest.mark.parametrize(
    ("text", "signs"),
    [
        (b'{"a":-0}', [-1]),
        (b'{"a":[-0,0,-0 ,-0.0,-0.5]}', [-1, 1, -1, -1, -1]),
        (b'{"a":[0,-0]}', [1, -1]),
        (b'{"a":[-0,-0e0,5]}', [-1, -1, 1]),
    ],
)
def test_the_sign_of_a_zero_is_kept(text: bytes, signs: list[int]) -> None:
    """A client that rounds -0.001 to two decimals writes -0 and looks for its key; a model may tell the two apart."""
    values = loads(text)["a"]
    assert [math.copysign(1, value) for value in (values if isinstance(values, list) else [values])] == signs


def test_integers_beside_a_negative_zero_are_exact() -> None:
    """Python's reader takes over for the whole text."""
    assert loads(b'{"a":[-0,18446744073709551615,-9223372036854775808],"b":"x-0"}') == {
        "a": [0, 2**64 - 1, -(2**63)],
        "b": "x-0",
    }


@pytest.mark.parametrize("tail", [b"", b',"b":"\t"', b',"b":"\xff"'])
@pytest.mark.parametrize("token", [b"NaN", b"Infinity", b"-Infinity", b"1e400", b"-1e400", b'"\\ud800"', b'"\\udfff"'])
def test_both_readers_refuse_what_no_double_or_text_is(token: bytes, tail: bytes) -> None:
    with pytest.raises(BadRequest, match=r"^invalid JSON"):
        loads(b'{"a":' + token + tail + b"}")


def test_depth_is_bounded_before_it_is_walked() -> None:
    deep = b"[" * MAX_DEPTH + b'"\t' + b"[" * 1000 + b'\\"[\\\\"' + b"]" * MAX_DEPTH
    loads(deep)
    for text in (b"[" + deep + b"]", b"[" * 4_000_000, b'{"a":' * 1_000_000, b'"\\"' + b"[" * 200 + b'"' + b"[" * 200):
        with pytest.raises(BadRequest):
            loads(text)


@pytest.mark.parametrize(
    ("text", "at"),
    [(b'{"a":1}x', 7), (b'{"\xc3\xa9":\t1}x', 9), (b'{"\xff":1}x', 7), (b'{"\xe4\xb8\xad\xff":1 x}', 10)],
)
def test_the_position_is_counted_in_bytes(text: bytes, at: int) -> None:
    with pytest.raises(BadRequest, match=f"^invalid JSON at byte {at}: "):
        loads(text)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=("Cs",))),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=("Cs",))), inner),
    max_leaves=10,
)


@given(VALUES, st.booleans(), st.booleans())
def test_every_json_value_reads_back(value: Any, escaped: bool, lenient: bool) -> None:
    text = json.dumps([value, "x"], ensure_ascii=escaped).encode()
    assert loads(text.replace(b'"x"', b'"\t"') if lenient and b'"x"' not in text[:-5] else text)[0] == value


@given(st.binary() | st.text(alphabet='[]{}",:\\u0d8c1e.-tfn \t').map(str.encode))
def test_any_bytes_are_a_value_or_a_refusal(text: bytes) -> None:
    try:
        value = loads(text)
    except BadRequest as error:
        value = None
        refusal = str(error)
    else:
        refusal = "invalid JSON"
    assert refusal.startswith("invalid JSON")
    assert refusal.isprintable()
    assert not isinstance(value, float) or math.isfinite(value)
