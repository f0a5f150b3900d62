"""Payloads: what was answered comes back as it was, and foreign bytes are an error, never code and never memory."""

from __future__ import annotations

import time
import tracemalloc
from contextlib import suppress
from typing import Any

import ml_dtypes
import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mlserve.cache.merge import Unjoinable
from mlserve.cache.payload import VERSION, NotDecodable, NotEncodable, decode, encode
from mlserve.types import DType, Rows

ANY_TEXT = st.text(st.characters(codec=None, categories=None), max_size=5)
FIXED = [dtype.numpy for dtype in DType if dtype not in (DType.STRING, DType.JSON, DType.BFLOAT16)]


@st.composite
def columns(draw: st.DrawFn, count: int) -> Any:
    """A column of any kind that an answer may have."""
    shape = (count, *draw(hnp.array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=3)))
    kind = draw(st.sampled_from(["fixed", "bfloat16", "string", "json"]))
    if kind == "fixed":
        return draw(hnp.arrays(draw(st.sampled_from(FIXED)), shape))
    if kind == "bfloat16":
        return draw(hnp.arrays(np.uint16, shape)).view(ml_dtypes.bfloat16)
    elements = ANY_TEXT if kind == "string" else st.dictionaries(ANY_TEXT, st.floats() | st.none(), max_size=2)
    column = np.empty(shape, object)
    column.ravel()[:] = draw(st.lists(elements, min_size=column.size, max_size=column.size))
    return column


@st.composite
def answers(draw: st.DrawFn) -> Rows:
    count = draw(st.integers(1, 4))
    names = draw(st.lists(ANY_TEXT.filter(_is_unicode), unique=True, max_size=4))
    return Rows({name: draw(columns(count)) for name in names}, count)


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def assert_same(one: Rows, other: Rows) -> None:
    assert list(one.columns) == list(other.columns)
    assert one.count == other.count
    for name, column in one.columns.items():
        again = other.columns[name]
        assert (column.dtype, column.shape) == (again.dtype, again.shape)
        if column.dtype == object:
            assert repr(column.tolist()) == repr(again.tolist())
        else:
            assert column.tobytes() == again.tobytes()


@given(answers(), st.randoms())
def test_round_trip(answer: Rows, random: Any) -> None:
    """A cached answer would differ from the fresh one, in value, type or order."""
    payloads = encode(answer)
    assert len(payloads) == answer.count
    assert_same(answer, decode(payloads))
    order = [random.randrange(answer.count) for _ in range(5)]
    assert_same(answer.take(order), decode([payloads[place] for place in order]))
    assert encode(answer) == payloads


def test_decoded_numbers_are_aligned() -> None:
    """Encoders read them as C arrays."""
    for count in (1, 3):
        answer = Rows(
            {"a": np.ones((count, 3), np.int8), "b": np.ones(count), "ccc": np.ones(count, np.complex128)}, count
        )
        assert all(
            column.flags.aligned and column.flags.c_contiguous for column in decode(encode(answer)).columns.values()
        )


def test_payloads_of_one_answer_have_nothing_of_another() -> None:
    """Padding must not carry whatever was in memory before."""
    answer = Rows({"a": np.zeros(100, np.int8), "b": np.zeros(100)}, 100)
    assert len(set(encode(answer))) == 1


def test_strings_and_plain_values_of_different_runs_stand_together() -> None:
    """A column counts as strings or as plain values run by run; entries of both come back in one answer."""
    texts, mixed = np.array(["a", "b"], object), np.array(["c", None], object)
    payloads = encode(Rows({"y": texts}, 2)) + encode(Rows({"y": mixed}, 2))
    assert decode(payloads).columns["y"].tolist() == ["a", "b", "c", None]


@pytest.mark.parametrize(
    "other",
    [
        {"y": np.zeros((1, 3))},
        {"y": np.zeros((1, 2), np.float32)},
        {"z": np.zeros((1, 2))},
        {"y": np.zeros((1, 2)), "z": np.zeros(1)},
    ],
    ids=["shape", "dtype", "name", "one more"],
)
def test_rows_that_no_array_can_hold_say_so(other: dict[str, Any]) -> None:
    """The caller then runs the request anew instead of calling its entries broken."""
    with pytest.raises(Unjoinable):
        decode(encode(Rows({"y": np.zeros((1, 2))}, 1)) + encode(Rows(other, 1)))


def test_strings_of_fixed_width_are_strings() -> None:
    """Python models answer with them."""
    assert decode(encode(Rows({"y": np.array(["a", "bcd"])}, 2))).columns["y"].tolist() == ["a", "bcd"]


@pytest.mark.parametrize(
    "column",
    [
        np.array([object()], object),
        np.array([{1, 2}], object),
        np.zeros(1, "V8"),
        np.zeros(1, "M8[s]"),
        np.zeros(1, [("a", "i4")]),
        np.array([b"bytes"]),
        np.zeros((1, 0, 2**17)),
    ],
    ids=["object", "set", "void", "time", "record", "bytes", "wide and empty"],
)
def test_what_cannot_be_carried_is_not_encodable(column: Any) -> None:
    """Any other exception would fail a request whose answer is there."""
    with pytest.raises(NotEncodable):
        encode(Rows({"y": column}, 1))


def test_too_long_a_head_is_not_encodable() -> None:
    """Its length has two bytes."""
    with pytest.raises(NotEncodable, match="too long"):
        encode(Rows({"y" * 70_000: np.zeros(1)}, 1))


SAMPLE = encode(
    Rows(
        {
            "score": np.arange(3, dtype=np.float32)[np.newaxis],
            "label": np.array(["Adelie"], object),
            "all": np.array([{"a": 1.5, "b": float("nan")}], object),
        },
        1,
    )
)[0]


def attempt(payload: bytes) -> None:
    with suppress(NotDecodable, Unjoinable):
        decode([payload])
    with suppress(NotDecodable, Unjoinable):
        decode([SAMPLE, payload])


@given(st.binary(max_size=80))
def test_foreign_bytes_are_not_decodable(data: bytes) -> None:
    """Shared stores hold what others wrote: a miss, not an exception that nobody catches."""
    attempt(data)
    attempt(bytes([VERSION]) + data)
    attempt(bytes([VERSION]) + (13).to_bytes(2, "little") + data)


@given(st.data())
def test_mangled_payloads_are_not_decodable_or_whole(data: st.DataObject) -> None:
    """A flipped byte may change a value; it must not do more."""
    mangled = bytearray(SAMPLE)
    for _ in range(data.draw(st.integers(1, 4))):
        mangled[data.draw(st.integers(0, len(mangled) - 1))] = data.draw(st.integers(0, 255))
    attempt(bytes(mangled))


@pytest.mark.parametrize("length", range(len(SAMPLE)))
def test_a_payload_cut_short_is_not_decodable(length: int) -> None:
    """Half an answer is none."""
    with pytest.raises(NotDecodable):
        decode([SAMPLE[:length]])


def test_bytes_left_over_and_other_versions_are_not_decodable() -> None:
    """They were written by something else."""
    for payload in (SAMPLE + b"\0", bytes([VERSION + 1]) + SAMPLE[1:], b""):
        with pytest.raises(NotDecodable):
            decode([payload])
        with pytest.raises(NotDecodable):
            decode([SAMPLE, payload])


def forged(head: Any, tail: bytes = b"") -> bytes:
    text = orjson.dumps(head)
    text += b" " * (-(3 + len(text)) % 16)
    return bytes([VERSION]) + len(text).to_bytes(2, "little") + text + tail


@pytest.mark.parametrize(
    "head",
    [
        [["y", "string", [2**31]]],
        [["y", "json", [2**20, 2**20]]],
        [["y", "float64", [2**27]]],
        [["y", "float64", [2**62]]],
        [["y", "int8", [2**30]]],
        [["y", "int8", [2**20, 0]]],
        [["y", "int8", [-1]]],
        [["y", "int8", [True]]],
        [["y", "int8", [1.0]]],
        [["y", "object", []]],
        [["y", "V8", []]],
        [["y", "O", []]],
        [["y", "<f4", []]],
        [["y", "int8", []], ["y", "int8", []]],
        [["y", "int8"]],
        {"y": "int8"},
        "y",
        None,
        7,
    ],
    ids=str,
)
def test_a_forged_head_makes_nothing(head: Any) -> None:
    """Neither objects, nor code, nor the gigabytes that it claims."""
    payload = forged(head, b"\0" * 64)
    tracemalloc.start()
    try:
        with pytest.raises(NotDecodable):
            decode([payload])
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_a_thousand_rows_decode_in_little_more_than_one_join() -> None:
    """A batch of hits must not cost a thousand times one hit."""
    answer = Rows({"y": np.random.default_rng(1).random((1000, 3)), "z": np.arange(1000)}, 1000)
    payloads = encode(answer)
    one = min(_seconds([payloads[0]]) for _ in range(20))
    thousand = min(_seconds(payloads) for _ in range(20))
    assert thousand < 400 * one


def _seconds(payloads: list[bytes]) -> float:
    start = time.perf_counter()
    decode(payloads)
    return time.perf_counter() - start
