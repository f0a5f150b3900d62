"""Would fail if a list of many numbers became another array than the careful way makes of it, or went no quick way."""

from __future__ import annotations

import math
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlserve.types import DType
from mlserve.values import elements
from mlserve.values.elements import Misfit, filler
from mlserve.values.packing import packed

FLOAT, INT, UINT = np.dtype(np.float64), np.dtype(np.int64), np.dtype(np.uint64)
NUMERIC = [dtype for dtype in DType if dtype.is_float or dtype.is_integer or dtype.is_complex]
LARGEST = [65504, 65519.9, 65520, float.fromhex("0x1.fep127"), 3.4028235e38, 3.4028235677973366e38, 1.7e308, 10**400]
EDGES = [
    0,
    1,
    -0.0,
    1.0,
    25.0,
    1.5,
    2**24 + 1,
    2**53 + 1,
    2**63 - 1,
    -(2**63),
    2**63,
    2**64 - 1,
    2**64,
    5e-324,
    *LARGEST,
]
ODD = st.sampled_from([True, False, None, "1", "", [1.5], [], {"b64": "AA=="}, math.nan, math.inf, -math.inf])
BYTE = st.integers(0, 127)
NUMBERS = st.sampled_from(EDGES) | st.integers() | st.floats() | BYTE


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1.5, -0.0, 0, 1, 2**63, math.inf, 2**53 + 1], FLOAT),
        ([0, 1, 2**63 - 1, -(2**63)], INT),
        ([0, 1, 2**64 - 1], UINT),
    ],
)
def test_plain_numbers_are_packed(values: list[float], kind: np.dtype[Any]) -> None:
    """Else this would be a roundabout, and the other tests here would compare the careful way with itself."""
    column = packed(values, kind)
    assert column is not None
    assert column.dtype == kind
    assert column.tobytes() == np.array(values, kind).tobytes()
    column[0] = 7  # not a view of bytes, which models could not write into


@pytest.mark.parametrize("kind", [FLOAT, INT, UINT])
@pytest.mark.parametrize("odd", [True, False, None, "1", [1], {}, 10**400])
@pytest.mark.parametrize("others", [[], [0, 1, 2], [2] * 100])
def test_what_is_no_number_is_declined(kind: np.dtype[Any], odd: Any, others: list[int]) -> None:
    assert packed([*others, odd], kind) is None
    assert packed([odd, *others], kind) is None


@pytest.mark.parametrize(("value", "kind"), [(1.0, INT), (2**63, INT), (-(2**63) - 1, INT), (-1, UINT), (2**64, UINT)])
def test_what_the_kind_does_not_hold_is_declined(value: float, kind: np.dtype[Any]) -> None:
    assert packed([value], kind) is None


def outcome(dtype: DType, values: list[Any], *, quick: bool) -> object:
    """The column's bytes, or the complaint."""
    with mock.patch.object(elements, "packed", packed if quick else lambda flat, kind: None):
        try:
            column = filler(dtype)(values)
        except Misfit as misfit:
            return str(misfit), misfit.index
    return column.dtype, column.shape, column.tobytes()


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(NUMERIC), st.lists(NUMBERS, max_size=4), st.lists(ODD, max_size=1), BYTE, st.integers(0, 3))
def test_many_numbers_fit_as_they_do_the_careful_way(
    dtype: DType, numbers: list[float], odd: list[Any], fill: int, at: int
) -> None:
    """Few are drawn, and stand among many: only many are packed."""
    values = [fill] * 66
    for place, value in enumerate([*numbers, *odd]):
        values.insert((at * 17 + place * 5) % 66, value)
    values = values[: len(values) // 2 * 2]
    assert outcome(dtype, values, quick=True) == outcome(dtype, values, quick=False)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(NUMERIC), st.lists(BYTE | st.floats(-9, 9), min_size=66, max_size=66))
def test_many_small_numbers_fit_as_they_do_the_careful_way(dtype: DType, values: list[float]) -> None:
    assert outcome(dtype, values, quick=True) == outcome(dtype, values, quick=False)
