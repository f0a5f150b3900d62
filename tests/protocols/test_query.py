"""Would fail if a GET were read otherwise than mly reads it, or than the POST of the same row."""

from __future__ import annotations

import math
import re
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlserve.errors import BadRequest
from mlserve.protocols.query import MAX_PARAMETERS, rows_from_query
from mlserve.types import DType, InputField, Interface, Serving


def face(*fields: InputField) -> Interface:
    return Interface(fields, None, Serving.ROWS)


def read(dtype: DType, text: str, **options: Any) -> Any:
    field = InputField("v", dtype, options.pop("shape", ()), **options)
    return rows_from_query(face(field), f"v={text}").columns["v"].tolist()[0]


@pytest.mark.parametrize("text", ["1", "t", "T", "TRUE", "true", "True"])
def test_words_for_true(text: str) -> None:
    assert read(DType.BOOL, text) is True


@pytest.mark.parametrize("text", ["0", "f", "F", "FALSE", "false", "False"])
def test_words_for_false(text: str) -> None:
    assert read(DType.BOOL, text) is False


@pytest.mark.parametrize(
    ("dtype", "text", "value"),
    [
        (DType.STRING, "a", "a"),
        (DType.STRING, "", ""),
        (DType.STRING, "a+b%20c%2Bd", "a b c+d"),
        (DType.STRING, "%C3%A9%E4%B8%AD", "é中"),
        (DType.STRING, "é中", "é中"),
        (DType.STRING, "%FF", "\udcff"),
        (DType.STRING, "\udcff", "\udcff"),
        (DType.STRING, "a=b=c", "a=b=c"),
        (DType.STRING, "a;b", "a;b"),
        (DType.STRING, '"a"', '"a"'),
        (DType.INT64, "30", 30),
        (DType.INT64, "-30", -30),
        (DType.INT64, "%2B30", 30),
        (DType.INT64, "-0", 0),
        (DType.INT64, "007", 7),
        (DType.INT64, "9007199254740993", 9007199254740993),
        (DType.INT32, "-2147483648", -(2**31)),
        (DType.UINT64, "18446744073709551615", 2**64 - 1),
        (DType.FLOAT64, "1", 1.0),
        (DType.FLOAT64, "1.", 1.0),
        (DType.FLOAT64, ".5", 0.5),
        (DType.FLOAT64, "-1.5e-3", -0.0015),
        (DType.FLOAT64, "1E%2B3", 1000.0),
        (DType.FLOAT32, "1.1", float(np.float32(1.1))),
    ],
)
def test_values_are_read_by_the_type_of_their_input(dtype: DType, text: str, value: Any) -> None:
    assert read(dtype, text) == value


@pytest.mark.parametrize(
    "text", ["", "x", "1.0", "1e3", "1_000", " 1", "1%20", "0x10", "٣", "--1", "+1", "1+", "9" * 500]
)
def test_integers_are_plain_decimals(text: str) -> None:
    with pytest.raises(BadRequest, match=r"field 'v': expected a whole number in base 10 \(int64\)"):
        read(DType.INT64, text)


@pytest.mark.parametrize(
    "text", ["", "x", "1,5", "1_0", "%201", "0x1p-2", "1e", "e5", ".", "٣", "1e1e1", "1e9999999999"]
)
def test_floats_are_plain_decimals(text: str) -> None:
    with pytest.raises(BadRequest, match=r"field 'v': expected a number \(float32\)"):
        read(DType.FLOAT32, text)


@pytest.mark.parametrize("text", ["nan", "NaN", "-nan", "inf", "Inf", "-inf", "%2BInf", "infinity", "INFINITY"])
def test_only_finite_numbers_are_taken(text: str) -> None:
    with pytest.raises(BadRequest, match=r"field 'v': expected a finite number \(float64\)"):
        read(DType.FLOAT64, text)


PLAIN = {DType.INT64: r"[+-]?[0-9]{1,18}", DType.FLOAT64: r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,2})?"}


@pytest.mark.parametrize("dtype", PLAIN)
@given(st.text(alphabet="0123456789.-+e_ \u0663nif", max_size=12) | st.floats().map(repr) | st.integers().map(str))
def test_a_number_is_what_is_written_as_one_and_nothing_else(dtype: DType, text: str) -> None:
    """Python's own readers also take underscores, spaces and other scripts' digits."""
    if re.fullmatch(PLAIN[dtype], text, re.ASCII) and abs(float(text)) < 2**63:
        assert read(dtype, quote(text)) == (int if dtype is DType.INT64 else float)(text)
    elif not re.fullmatch(r"[+-]?[0-9.]+(e[+-]?[0-9]+)?", text):
        with pytest.raises(BadRequest, match="field 'v': expected a"):
            read(dtype, quote(text))


def test_names_are_percent_decoded_too() -> None:
    names = face(
        InputField("a b", DType.STRING, ()), InputField("é", DType.INT64, ()), InputField("c", DType.INT64, ())
    )
    for query in ("a+b=x&%C3%A9=1&%63=2", "a%20b=x&é=1&c=2&%63=3"):
        assert [column.tolist() for column in rows_from_query(names, query).columns.values()] == [["x"], [1], [2]]
    with pytest.raises(BadRequest, match=r"missing fields: \[a b\]; unknown field: 'ab'"):
        rows_from_query(names, "ab=x&%C3%A9=1&c=2")


def test_a_default_of_nan_may_be_said() -> None:
    assert math.isnan(read(DType.FLOAT32, "NaN", default=math.nan))
    assert read(DType.FLOAT32, "-inf", default=-math.inf) == -math.inf
    with pytest.raises(BadRequest, match="expected a finite number"):
        read(DType.FLOAT32, "inf", default=-math.inf)


@pytest.mark.parametrize(
    ("dtype", "text"),
    [(DType.INT32, "2147483648"), (DType.UINT8, "300"), (DType.FLOAT32, "1e39"), (DType.FLOAT64, "1e400")],
)
def test_overflow_is_refused(dtype: DType, text: str) -> None:
    with pytest.raises(BadRequest, match="field 'v': expected a"):
        read(dtype, text)


def test_vectors_are_json_text() -> None:
    assert read(DType.FLOAT32, "[1,2.5]", shape=(2,)) == [1, 2.5]
    assert read(DType.INT64, quote("[[1, 2]]"), shape=(None, 2)) == [[1, 2]]
    assert read(DType.STRING, quote('["a","é"]'), shape=(None,)) == ["a", "é"]
    assert read(DType.STRING, '["%FF"]', shape=(None,)) == ["\udcff"]
    assert read(DType.COMPLEX64, "[1,-2]") == 1 - 2j
    assert read(DType.INT64, "[5,6]", shape=None) == [5, 6]
    assert read(DType.INT64, "5", shape=None) == 5
    assert read(DType.INT64, "null", shape=(2,), default=[1, 2]) == [1, 2]


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ("[[1,2],[3,4]]", "a GET is one row"),
        ("1,2", "expected a list as JSON text, got invalid JSON at byte 1"),
        ("", "expected a list as JSON text, got invalid JSON at byte 0"),
        ("[NaN,1]", "NaN is no JSON number"),
        ("[1]", "expected a row of shape [2], got [1]"),
        ("1", "expected a list of shape [2]"),
        ("[1,%]", "a % that is no escape; write it as %25"),
    ],
)
def test_vectors_that_do_not_fit(text: str, fragment: str) -> None:
    with pytest.raises(BadRequest) as caught:
        read(DType.FLOAT32, text, shape=(2,))
    assert fragment in str(caught.value)
    assert str(caught.value).startswith("field 'v'")


PAIR = face(InputField("sa", DType.STRING, ()), InputField("sl", DType.STRING, ()))


def test_the_first_of_repeated_values_counts() -> None:
    assert rows_from_query(PAIR, "sa=1&sl=x&sa=2&sl").columns["sa"].tolist() == ["1"]


def test_unknown_parameters_are_ignored_as_in_mly() -> None:
    rows = rows_from_query(PAIR, "utm=1&sa=a&&cache_key=a/b&batch_size=7&sl=b&=&%ff=%zz")
    assert {name: column.tolist() for name, column in rows.columns.items()} == {"sa": ["a"], "sl": ["b"]}


def test_unknown_parameters_are_refused_where_a_default_would_hide_a_slip() -> None:
    defaults = face(InputField("sa", DType.STRING, ()), InputField("sl", DType.STRING, (), default="?"))
    assert rows_from_query(defaults, "sa=a&cache_key=x&batch_size=2").columns["sl"].tolist() == ["?"]
    with pytest.raises(BadRequest, match=r"^unknown field: 'sll' \(did you mean 'sl'\?\), available: \[sa sl\]$"):
        rows_from_query(defaults, "sa=a&sll=b")


def test_a_missing_input_names_the_unknown_ones_and_the_nearest() -> None:
    with pytest.raises(BadRequest, match=r"^failed to build request due to missing fields: \[sa sl\]$"):
        rows_from_query(PAIR, "")
    with pytest.raises(BadRequest, match=r"missing fields: \[sl\]; unknown field: 'slx' \(did you mean 'sl'\?\)"):
        rows_from_query(PAIR, "sa=a&slx=b&cache_key=c")


def test_parameters_are_bounded() -> None:
    with pytest.raises(BadRequest, match=f"more than {MAX_PARAMETERS} parameters"):
        rows_from_query(PAIR, "a=1&" * (MAX_PARAMETERS + 1))


def test_broken_escapes_are_named() -> None:
    with pytest.raises(BadRequest, match="field 'sa': a % that is no escape; write it as %25, got '50%'"):
        rows_from_query(PAIR, "sa=50%&sl=b")


@given(st.text() | st.text(alphabet="salv=&%+[]0123456789.ef\"'\\\udcff"))
def test_any_query_is_a_row_or_a_refusal(query: str) -> None:
    fields = face(
        InputField("s", DType.STRING, ()), InputField("a", DType.FLOAT16, ()), InputField("v", DType.INT8, (None,))
    )
    for text in (query, f"s={query}&a=1&v=[1]", f"s=1&a={query}&v=[1]", f"s=1&a=1&v={query}"):
        try:
            rows = rows_from_query(fields, text)
        except BadRequest as error:
            refusal = str(error)
        else:
            refusal = ""
            assert rows.count == 1
            assert np.isfinite(rows.columns["a"]).all()
        assert refusal.isprintable()
