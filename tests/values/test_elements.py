"""Would fail if a number reached a model as another number than the caller wrote."""

from __future__ import annotations

import base64
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlserve.types import DType
from mlserve.values.elements import Misfit, filler

INTEGERS = [dtype for dtype in DType if dtype.is_integer]
FLOATS = [dtype for dtype in DType if dtype.is_float]


@pytest.mark.parametrize("dtype", INTEGERS)
def test_integers_are_exact_to_both_ends_and_not_beyond(dtype: DType) -> None:
    info = np.iinfo(dtype.numpy)
    low, high = int(info.min), int(info.max)
    column = filler(dtype)([low, high, 0])
    assert column.dtype == dtype.numpy
    assert column.tolist() == [low, high, 0]
    for beyond in (low - 1, high + 1, 10**30, -(10**400)):
        with pytest.raises(Misfit, match=f"a whole number from {low} to {high}") as caught:
            filler(dtype)([0, beyond])
        assert caught.value.index == 1


@given(st.sampled_from(INTEGERS), st.lists(st.integers(-(2**66), 2**66), min_size=1))
def test_integers_are_kept_or_refused(dtype: DType, values: list[int]) -> None:
    try:
        assert filler(dtype)(values).tolist() == values
    except Misfit:
        info = np.iinfo(dtype.numpy)
        assert not all(info.min <= value <= info.max for value in values)


@pytest.mark.parametrize(("value", "kept"), [(25.0, 25), (-0.0, 0), (1e3, 1000), (2.0**53 - 1, 2**53 - 1)])
def test_whole_floats_are_integers(value: float, kept: int) -> None:
    assert filler(DType.INT64)([value]).tolist() == [kept]


@pytest.mark.parametrize("value", [1.7, -0.5, math.nan, math.inf, 2.0**53, -(2.0**63), 1e300, True, None, "1", [1], {}])
def test_what_is_no_integer_is_refused(value: Any) -> None:
    with pytest.raises(Misfit) as caught:
        filler(DType.INT64)([1, value, 2])
    assert caught.value.index == 1


@pytest.mark.parametrize("dtype", FLOATS)
def test_floats_overflow_exactly_where_their_dtype_rounds_to_infinity(dtype: DType) -> None:
    largest = {"float16": 65504.0, "bfloat16": float.fromhex("0x1.fep127")}.get(dtype) or float(
        np.finfo(dtype.numpy).max
    )
    assert filler(dtype)([largest, -largest]).astype(float).tolist() == [largest, -largest]
    if dtype is not DType.FLOAT64:
        above = float(np.nextafter(largest, np.inf))
        assert filler(dtype)([above]).astype(float).tolist() == [largest]  # rounds down to it
        with pytest.raises(Misfit, match=f"within the range of {dtype}"):
            filler(dtype)([1, largest * 1.01])
    with pytest.raises(Misfit, match=f"within the range of {dtype}") as caught:
        filler(dtype)([2**1023 if dtype is DType.FLOAT64 else 1, 10**400])
    assert caught.value.index == 1


@pytest.mark.parametrize("dtype", FLOATS)
def test_many_floats_are_held_to_the_same_rules_as_few(dtype: DType) -> None:
    many = [0.5] * 1000
    assert filler(dtype)([*many, 3, math.inf]).astype(float).tolist() == [*many, 3, math.inf]
    for wrong in (10**400, True, None, "1"):
        with pytest.raises(Misfit) as caught:
            filler(dtype)([*many, wrong])
        assert caught.value.index == 1000


@given(st.sampled_from(FLOATS), st.lists(st.floats() | st.integers(-(2**1030), 2**1030), min_size=1))
def test_floats_are_rounded_as_numpy_rounds_or_refused(dtype: DType, values: list[float]) -> None:
    with np.errstate(over="ignore"):
        try:
            expected = np.array([float(value) for value in values]).astype(dtype.numpy)
            overflows = bool((np.isinf(expected) & np.isfinite(np.array(values, dtype=float))).any())
        except OverflowError:
            overflows = True
    try:
        column = filler(dtype)(values)
    except Misfit:
        assert overflows
    else:
        assert not overflows
        np.testing.assert_array_equal(column.astype(float), expected.astype(float))


@pytest.mark.parametrize("value", [True, None, "1", [1.0], {}])
def test_what_is_no_number_is_refused(value: Any) -> None:
    with pytest.raises(Misfit, match="expected a number") as caught:
        filler(DType.FLOAT32)([1.5, value])
    assert caught.value.index == 1


def test_booleans_are_words_not_numbers() -> None:
    assert filler(DType.BOOL)([True, False]).tolist() == [True, False]
    for value in (0, 1, 1.0, "true", None):
        with pytest.raises(Misfit, match="expected true or false"):
            filler(DType.BOOL)([value])


@given(st.binary())
def test_bytes_travel_as_base64(raw: bytes) -> None:
    (text,) = filler(DType.STRING)([{"b64": base64.b64encode(raw).decode()}])
    assert text.encode("utf-8", "surrogateescape") == raw


@pytest.mark.parametrize(
    "value",
    [1, True, None, [], ["a"], {}, {"b64": 1}, {"b64": "a"}, {"b64": "a b="}, {"b64": "é"}, {"b64": "", "x": 1}],
)
def test_what_is_no_string_is_refused(value: Any) -> None:
    with pytest.raises(Misfit) as caught:
        filler(DType.STRING)(["a", value])
    assert caught.value.index == 1


def test_no_input_is_json() -> None:
    with pytest.raises(TypeError, match="no input has the type json"):
        filler(DType.JSON)
