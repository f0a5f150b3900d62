"""The value that the model sees and the one that mly's clients put in the key would part if these failed."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlserve.types import Array
from mlserve.values.rounding import round_half_away


def rounded(value: float, digits: int, dtype: type = np.float32) -> float:
    """By the way that one row takes and by that of many, which must not differ in a bit."""
    one: Array = round_half_away(np.asarray([value], dtype), digits)
    many: Array = round_half_away(np.asarray([value, 0.0, value], dtype), digits)
    assert (one.dtype, one.tobytes()) == (many.dtype, many[:1].tobytes()) == (many.dtype, many[2:].tobytes())
    return float(one[0])


@pytest.mark.parametrize(
    ("value", "digits", "sent", "segment"),
    [
        (1.23456, 3, "1.235", "1.235"),
        (5.6789, 3, "5.679", "5.679"),
        (1.00054, 4, "1.0005", "1.0005"),
        (1.00053, 4, "1.0005", "1.0005"),
        (1.20001, 4, "1.2", "1.2000"),
        (-1.00054, 4, "-1.0005", "-1.0005"),
        (0.00001, 4, "0", "0.0000"),
        (123456.789, 4, "123456.79", "123456.7891"),
        (1.23, 2, "1.23", "1.23"),
        (4.5, 2, "4.5", "4.50"),
    ],
)
def test_vectors_of_mly(value: float, digits: int, sent: str, segment: str) -> None:
    """What its Go client sends, and the segment it puts in the key, for the same number."""
    result = round_half_away(np.asarray([value], np.float32), digits)[0]
    assert np.format_float_positional(result, unique=True, trim="-") == sent
    assert f"{float(result):.{digits}f}" == segment


def half_up(value: float, digits: int, dtype: type) -> float:
    """The law, in decimal: the double product, halves away from zero, divided and narrowed."""
    product = abs(float(dtype(value))) * 10.0**digits
    whole = Decimal(product).quantize(Decimal(1), rounding=ROUND_HALF_UP)
    return float(dtype(np.copysign(float(whole) / 10.0**digits, value)))


@given(st.floats(-(2.0**50), 2.0**50, width=32), st.integers(1, 9))
def test_float32_as_decimal_does(value: float, digits: int) -> None:
    """Every float32, not only those somebody thought of."""
    if abs(value) * 10.0**digits < 2.0**52:
        assert rounded(value, digits) == half_up(value, digits, np.float32)


@given(st.floats(-1e6, 1e6), st.integers(1, 9))
def test_float64_as_decimal_does(value: float, digits: int) -> None:
    """The same at the width of a double."""
    assert rounded(value, digits, np.float64) == half_up(value, digits, np.float64)


@given(st.integers(-(10**6), 10**6))
def test_halves_go_away_from_zero(eighths: int) -> None:
    """Half to even, as Python's ``round`` does, would give other keys than mly's. Eighths are exact in binary."""
    value = Decimal(eighths) / 8
    assert rounded(float(value), 2, np.float64) == float(value.quantize(Decimal("0.01"), rounding=ROUND_HALF_UP))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(value=st.floats(min_value=2.0**53, allow_infinity=True, width=32), digits=st.integers(1, 9))
def test_values_without_decimals_stay(dtype: type, value: float, digits: int) -> None:
    """Multiplying and dividing would change their last bit, or make them infinite."""
    for signed in (value, -value):
        assert rounded(signed, digits, dtype) == dtype(signed)


@pytest.mark.parametrize("value", [1.7e308, -1.7e308, 1e300, float("inf"), float("-inf")])
def test_huge_doubles_stay(value: float) -> None:
    """Their product overflows."""
    assert rounded(value, 9, np.float64) == value


def test_nan_stays_nan() -> None:
    """NaN stands for a missing number and must reach the model as one."""
    assert np.isnan(rounded(float("nan"), 3))


def test_a_value_that_rounds_to_nothing_keeps_its_sign() -> None:
    """As in mly, whose key then says ``-0.0000``."""
    assert np.signbit(round_half_away(np.asarray([-0.00001], np.float32), 4)[0])


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1,), (1, 1), (2, 3), (0,)])
def test_dtype_and_shape_are_kept_and_the_caller_s_array_too(dtype: type, shape: tuple[int, ...]) -> None:
    """Rows are shared: rounding in place would change what others see."""
    values: Array = np.full(shape, 0.12, dtype)
    before = values.copy()
    result = round_half_away(values, 1)
    assert (result.dtype, result.shape) == (values.dtype, shape)
    assert np.array_equal(values, before)
    assert np.array_equal(result, np.full(shape, 0.1, dtype))


@pytest.mark.parametrize("values", [[1.5], [-0.0], [np.inf], [1.5, -0.0, 1e30]])
def test_what_is_rounded_already_is_the_very_same_array(values: list[float]) -> None:
    """Nothing is copied for rows that need nothing."""
    column: Array = np.asarray(values, np.float32)
    assert round_half_away(column, 1) is column
