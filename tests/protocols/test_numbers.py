"""Would fail if a printed number were another number, longer than it needs be, or unreadable to mly's clients."""

from __future__ import annotations

import re

import ml_dtypes
import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from mlserve.protocols.numbers import column_text, printable_scalar, written_out
from mlserve.types import Array

NUMBER = re.compile(r"-?(\d+)(\.\d+)?(e([+-]?\d+))?")
HALVES = (np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16))


def texts(column: Array) -> list[str]:
    body = column_text(column).decode()
    assert body[0] + body[-1] == "[]"
    return body[1:-1].replace("[", "").replace("]", "").split(",")


def significant(text: str) -> int:
    digits = re.sub(r"e.*", "", text).lstrip("-").replace(".", "").strip("0")
    return len(digits)


def check(column: Array) -> None:
    with np.errstate(invalid="ignore"):
        finite = np.isfinite(column).ravel()
    for text, value, is_finite in zip(texts(column), column.ravel(), finite, strict=True):
        if not is_finite:
            assert text == "null"
            continue
        form = NUMBER.fullmatch(text)
        assert form
        assert -19 <= int(form[4] or 0) <= 19
        with np.errstate(over="ignore"):
            back = np.array([float(text)]).astype(column.dtype)[0]
        assert back == value
        assert np.signbit(back) == np.signbit(value)
        if column.dtype not in HALVES:
            shortest = np.format_float_scientific(value, unique=True, trim="-")
            assert significant(text) <= significant(shortest)


@given(
    st.one_of(arrays.arrays(dtype, arrays.array_shapes(max_dims=3, max_side=3)) for dtype in (np.float32, np.float64))
)
def test_every_float_reads_back_from_its_shortest_text(column: Array) -> None:
    check(column)


@pytest.mark.parametrize("dtype", HALVES)
def test_every_half_reads_back(dtype: np.dtype[np.float16]) -> None:
    column = np.arange(0, 2**16, 7, dtype=np.uint16).view(dtype)
    check(column[: 4 * (len(column) // 4)].reshape(-1, 4))
    assert texts(np.array([0.1, 25, 1e-3], dtype)) == ["0.1", "25.0", "0.001"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0.0"),
        (-0.0, "-0.0"),
        (1e-19, "1e-19"),
        (1.5e-20, "0.000000000000000000015"),
        (-1e-20, "-0.00000000000000000001"),
        (5e-324, "0." + "0" * 323 + "5"),
        (1e19, "1e+19"),
        (9.9e19, "9.9e+19"),
        (1e20, "1" + "0" * 20),
        (-1.25e22, "-125" + "0" * 20),
        (1e300, "1" + "0" * 300),
    ],
)
def test_exponents_end_at_nineteen(value: float, text: str) -> None:
    assert texts(np.array([value])) == [text]
    assert texts(np.array([[value, 1.5]])) == [text, "1.5"]
    assert orjson.dumps(printable_scalar(value)).decode() == text


def test_only_numbers_beyond_are_written_out() -> None:
    assert written_out(b"[1e-5,1.5e-25,[null,2e+30],-1e19,7]") == (
        b"[1e-5,0." + b"0" * 24 + b"15,[null,2" + b"0" * 30 + b"],-1e19,7]"
    )


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_single_numpy_numbers_print_in_their_own_dtype(value: float) -> None:
    single = np.float32(value)
    text = orjson.dumps(printable_scalar(single), option=orjson.OPT_SERIALIZE_NUMPY)
    assert np.float32(float(text)) == single
    assert len(text) <= 60
