"""mly's keys: the text that its clients look for, or none where that text would mean more than one row."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mlserve.cache.key import KeyMaker
from mlserve.cache.mly_key import mly_keys, no_mly_key
from mlserve.types import DType, InputField, Interface, Lookups, Rows, Serving, Vocabulary
from mlserve.values.canonical import canonical_rows
from mlserve.values.rounding import round_half_away
from tests.support.deployments import interface

FLOATS = [DType.FLOAT32, DType.FLOAT64]


def word(name: str, *words: str) -> InputField:
    """A string that the model looks up among ``words``."""
    return InputField(name, DType.STRING, (), lookups=Lookups("a table", Vocabulary(words, "[UNK]")))


def number(name: str, *words: int) -> InputField:
    return InputField(name, DType.INT64, (), lookups=Lookups("a table", Vocabulary(words, 0)))


def auxiliary(name: str, **rest: Any) -> InputField:
    return InputField(name, DType.STRING, (), auxiliary=True, **rest)


PRICE = InputField("price", DType.FLOAT32, (), precision=2)
FL = InputField("fl", DType.FLOAT32, (), precision=4)
LETTERS = ("", "[UNK]", "a", "b", "c")
CTR = interface(PRICE, number("age", -1, 0, 25, 30), word("country", "", "[UNK]", "de", "us"), word("site", "a.com"))
KEY_FIELDS = (auxiliary("aux", wildcard=True), auxiliary("kf", wildcard=True))
SLI = interface(word("sa", *LETTERS), word("sl", *LETTERS), *KEY_FIELDS)
FT = InputField("ft", DType.FLOAT32, (), precision=3)


def column(field: InputField, values: list[Any]) -> Any:
    if field.dtype is not DType.STRING:
        return np.array(values, field.dtype.numpy)
    array = np.empty(len(values), object)
    array[:] = values
    return array


def keys(face: Interface, *rows: tuple[Any, ...]) -> list[str | None]:
    """The keys of rows as callers send them."""
    values = zip(face.inputs, zip(*rows, strict=True), strict=True)
    columns = {field.name: column(field, list(texts)) for field, texts in values}
    return mly_keys(face, canonical_rows(Rows(columns, len(rows)), face))


@pytest.mark.parametrize(
    ("face", "row", "expected"),
    [
        (interface(FT, InputField("s", DType.STRING, (), wildcard=True)), (1.23456, "a"), "1.235/a"),
        (interface(FT, word("s")), (5.6789, "b"), "5.679/[UNK]"),
        (interface(word("copied"), word("multi", "a", "b")), ("1", "b"), "[UNK]/b"),
        (SLI, ("a", "a", "test", "k"), "a/a/test/k"),
        (interface(word("sa", *LETTERS), word("sl", *LETTERS), auxiliary("aux")), ("b", "a", "c1"), "b/a/"),
        (CTR, (1.23, 30, "us", "a.com"), "1.23/30/us/a.com"),
        (CTR, (4.5, 41, "fr", "a.com"), "4.50/0/[UNK]/a.com"),
        (CTR, (4.5, 41, "", "x"), "4.50/0//[UNK]"),
        (interface(FL, word("sl", *LETTERS)), (1.00054, "a"), "1.0005/a"),
        (interface(FL, word("sl", *LETTERS)), (1.00053, "a"), "1.0005/a"),
        (interface(FL, word("sl", *LETTERS)), (1.20001, "a"), "1.2000/a"),
        (interface(FL, word("sl", *LETTERS)), (-1.00054, "a"), "-1.0005/a"),
        (interface(FL, word("sl", *LETTERS)), (0.00001, "a"), "0.0000/a"),
        (interface(FL, word("sl", *LETTERS)), (123456.789, "a"), "123456.7891/a"),
        (interface(InputField("x", DType.FLOAT32, (), wildcard=True)), (1.23,), "1.2300000191"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_keys_read_as_mlys_clients_make_them(face: Interface, row: tuple[Any, ...], expected: str) -> None:
    """Clients look for these very texts: under any other they find nothing."""
    assert keys(face, row) == [expected]


@pytest.mark.parametrize(
    ("value", "expected"),
    [(1.23, "1.2300000191"), (0.0, "0.0000000000"), (-0.0, "-0.0000000000"), (2.0**100, f"{2**100}.0000000000")],
)
@pytest.mark.parametrize("dtype", FLOATS)
def test_an_exact_float_stands_with_ten_decimals_of_its_float32(dtype: DType, value: float, expected: str) -> None:
    """Clients hold a float32, whatever the model takes; ``Wildcard`` is what meta/config says of an exact input.

    A double is what the shortest text of that float32 says, for that is what they send.
    """
    sent = float(str(np.float32(value))) if dtype is DType.FLOAT64 else value
    for wildcard in (True, False):
        assert keys(interface(InputField("x", dtype, (), wildcard=wildcard)), (sent,)) == [expected]


@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        (DType.FLOAT32, 1.00000014e-7),
        (DType.FLOAT32, 1e-12),
        (DType.FLOAT32, float("nan")),
        (DType.FLOAT32, float("inf")),
        (DType.FLOAT64, 1.2300000190734863),
        (DType.FLOAT64, 0.1 + 0.2),
        (DType.FLOAT64, 1e39),
        (DType.FLOAT64, float("-inf")),
        (DType.FLOAT64, float("nan")),
    ],
)
def test_floats_that_the_text_does_not_hold_have_no_key(dtype: DType, value: float) -> None:
    """They would share it with another number, or no client can send them; their neighbours keep theirs."""
    assert keys(interface(InputField("x", dtype, ())), (value,), (0.5,)) == [None, "0.5000000000"]


@pytest.mark.parametrize("dtype", FLOATS)
def test_what_is_no_number_has_no_key_with_precision_either(dtype: DType) -> None:
    """mly refuses it in a request."""
    face = interface(InputField("x", dtype, (), precision=2))
    assert keys(face, (float("nan"),), (0.126,), (float("inf"),)) == [None, "0.13", None]


def test_a_key_field_stands_exactly_whatever_its_precision() -> None:
    """Clients look at ``Wildcard`` first."""
    face = interface(InputField("kf", DType.FLOAT32, (), auxiliary=True, wildcard=True, precision=1))
    assert keys(face, (0.52,)) == ["0.5000000000"]


def test_texts_that_could_be_two_have_no_key() -> None:
    """``a/b`` and ``c`` would be ``a`` and ``b/c``; mly escapes nothing."""
    face = interface(InputField("s", DType.STRING, ()), auxiliary("kf", wildcard=True))
    assert keys(face, ("a/b", "c"), ("a", "b/c"), ("50%", "c")) == [None, None, "50%/c"]
    assert keys(interface(InputField("s", DType.STRING, ())), ("a/b",), ("%2F",)) == ["a/b", "%2F"]


def test_bytes_that_are_not_utf8_have_no_key() -> None:
    """No store takes them as text; an unencodable one ends the process inside Aerospike's client."""
    face = interface(InputField("s", DType.STRING, ()), InputField("t", DType.STRING, ()))
    assert keys(face, ("\udcff", "a"), ("é", "a"), ("a", "\ud800")) == [None, "é/a", None]


def test_the_empty_key_is_none() -> None:
    """Clients do not send it; everything without a key would stand under it."""
    assert keys(interface(InputField("s", DType.STRING, ())), ("",), ("a",)) == [None, "a"]
    assert keys(interface(auxiliary("aux")), ("a",)) == [None]
    assert keys(interface(auxiliary("aux"), auxiliary("more")), ("a", "b")) == ["/"]


def test_no_rows_and_no_inputs() -> None:
    """A model without inputs has one row, whose key would be empty."""
    nothing = Interface((), None, Serving.ROWS, 7)
    assert mly_keys(nothing, Rows({}, 1)) == [None]
    assert mly_keys(interface(), Rows({"x": np.empty(0, np.float32)}, 0)) == []


@pytest.mark.parametrize("dtype", [dtype for dtype in DType if dtype is not DType.JSON])
def test_inputs_that_mlys_clients_cannot_send_have_no_key(dtype: DType) -> None:
    """They have calls for strings, integers and floats of mly's types, one value per row."""
    known = dtype in (DType.STRING, DType.INT32, DType.INT64, DType.FLOAT32, DType.FLOAT64)
    assert (no_mly_key(interface(InputField("x", dtype, ()))) is None) == known
    for shape in ((3,), (None,), None):
        reason = no_mly_key(interface(InputField("x", dtype, shape)))
        assert reason is not None
        assert "'x'" in reason


def test_a_model_with_such_an_input_has_no_keys_at_all() -> None:
    """Half a key is another row's; a plain auxiliary input of any type leaves its segment empty."""
    small = InputField("x", DType.INT8, ())
    assert keys(interface(small, word("s", "a")), (1, "a"), (2, "a")) == [None, None]
    assert (
        no_mly_key(interface(small)) == "input 'x' is int8; mly's clients send string, int32, int64, float32, float64"
    )
    plain = InputField("x", DType.INT8, (), auxiliary=True)
    assert keys(interface(plain, word("s", "a")), (1, "a"), (2, "b")) == ["/a", "/[UNK]"]


def test_a_model_not_served_by_rows_has_no_keys() -> None:
    """A request that runs as a whole is no row that a client knows."""
    assert no_mly_key(interface(serving=Serving.WHOLE)) == "the model is not served by rows"
    assert no_mly_key(interface(serving=Serving.ONE)) is None


SLASHED = st.text(st.sampled_from("a/"), max_size=3)


@given(st.lists(st.tuples(SLASHED, SLASHED), min_size=2, max_size=20, unique=True))
def test_rows_of_strings_never_run_together(rows: list[tuple[str, str]]) -> None:
    """The answer to ``a/b`` and ``c`` would be given for ``a`` and ``b/c``."""
    face = interface(InputField("s", DType.STRING, ()), InputField("t", DType.STRING, ()))
    found = [key for key in keys(face, *rows) if key is not None]
    assert len(set(found)) == len(found)


TEXTS = SLASHED | st.text(st.sampled_from("%0.\0é\udcff"), max_size=2)
TINY = st.floats(-(2.0**-30), 2.0**-30, width=32)
"""Ten decimals do not tell these apart."""


@st.composite
def faces(draw: st.DrawFn) -> Interface:
    """Inputs of the kinds that have segments."""

    def field(index: int) -> InputField:
        kind = draw(st.sampled_from([DType.STRING, DType.INT32, DType.INT64, *FLOATS]))
        auxiliary = draw(st.booleans())
        digits = draw(st.none() | st.integers(1, 9)) if kind.is_float else None
        return InputField(str(index), kind, (), auxiliary, draw(st.booleans()), digits)

    return interface(*[field(index) for index in range(draw(st.integers(1, 2)))])


@st.composite
def neighbours(draw: st.DrawFn) -> tuple[Interface, Rows]:
    """Rows that differ by as little as may be."""
    face = draw(faces())
    count = 6
    columns = {}
    for field in face.inputs:
        if field.dtype is DType.STRING:
            columns[field.name] = column(field, draw(st.lists(TEXTS, min_size=count, max_size=count)))
        elif field.dtype.is_integer:
            columns[field.name] = draw(hnp.arrays(field.dtype.numpy, count, elements=st.integers(-2, 2)))
        else:
            columns[field.name] = _close_floats(draw, field.dtype, count)
    return face, canonical_rows(Rows(columns, count), face)


def _close_floats(draw: st.DrawFn, dtype: DType, count: int) -> Any:
    """One number, the next of its own type, and what it is as a float32 and in that one's shortest text."""
    kind = dtype.numpy.type
    first = draw(TINY | st.floats(-1000, 1000, width=32) | st.floats(width=32))
    with np.errstate(all="ignore"):
        close = [kind(first), np.nextafter(kind(first), kind(1)), kind(str(np.float32(first))), kind(-first)]
    return np.array([draw(st.sampled_from(close)) for _ in range(count)], kind)


@given(neighbours())
def test_rows_of_one_mly_key_have_one_key_of_ours(asked: tuple[Interface, Rows]) -> None:
    """Else one row would be answered with another's answer."""
    face, rows = asked
    ours: dict[str, str] = {}
    for key, own in zip(mly_keys(face, rows), KeyMaker(face).keys(rows), strict=True):
        if key is not None:
            assert ours.setdefault(key, own) == own


@given(neighbours())
def test_a_row_has_one_key_whoever_stands_beside_it(asked: tuple[Interface, Rows]) -> None:
    """A neighbour without a key must not take it away."""
    face, rows = asked
    alone = [mly_keys(face, rows.take([place]))[0] for place in range(rows.count)]
    assert mly_keys(face, rows) == alone


@given(st.floats(width=32, allow_nan=False, allow_infinity=False), st.integers(1, 9))
@example(0.00001, 4)
@example(123456.789, 4)
def test_a_double_has_the_key_of_the_float32_that_was_sent(value: float, digits: int) -> None:
    """A client rounds its float32, makes the key of that, and sends its shortest text, which is read as a double."""
    held = round_half_away(np.array([value], np.float32), digits)
    face = interface(InputField("x", DType.FLOAT64, (), precision=digits))
    assert keys(face, (float(str(held[0])),)) == [f"{float(held[0]):.{digits}f}"]
