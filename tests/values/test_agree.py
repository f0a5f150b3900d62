"""Two answers that arithmetic cannot tell apart must agree, and no others."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlserve.values import agrees


@pytest.mark.parametrize(
    ("found", "expected", "result"),
    [
        (1.0, 1, True),
        (1, 1.0, True),
        (True, True, True),
        (True, False, False),
        ("a", "a", True),
        ("a", "b", False),
        ("1", 1, False),
        (100.0, 100.0009, True),
        (100.0, 100.002, False),
        (0.0, 9e-6, True),
        (math.nan, math.nan, True),
        (math.nan, None, True),
        (math.inf, None, True),
        (1.0, None, False),
        (math.nan, 1.0, False),
        (math.inf, math.inf, True),
        (math.inf, -math.inf, False),
        (math.inf, 1e308, False),
        (None, None, True),
        ([1.0, 2.0], [1, 2], True),
        ([1.0, 2.0], (1, 2), True),
        ([1.0], [1, 2], False),
        ([[1.0]], [1], False),
        ({"a": 1.0}, {"a": 1.000001}, True),
        ({"a": 1.0}, {"b": 1.0}, False),
        ({"a": 1.0}, {"a": 1.0, "b": 0}, False),
        ({"a": 1.0}, [1.0], False),
        (1.0, 10**400, False),
        (1, 10**400, False),
    ],
)
def test_agreement(found: object, expected: object, result: bool) -> None:
    """Numbers within tolerance, the rest equal, at any depth."""
    assert agrees(found, expected, 1e-5) is result


def test_whole_numbers_agree_exactly_without_tolerance() -> None:
    """Doubles do not hold every int64: as doubles, these two are equal."""
    assert not agrees(2**53, 2**53 + 1, 0)
    assert agrees(2**53 + 1, 2**53 + 1, 0)
    assert agrees(1_000_000, 1_000_001, 1e-5)


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=6,
)


@given(PLAIN, st.sampled_from([0.0, 1e-5, 1.0]))
def test_everything_agrees_with_itself(value: object, tolerance: float) -> None:
    """What a model answered may be copied into Expect."""
    assert agrees(value, value, tolerance)


NUMBERS = st.integers(-(2**70), 2**70) | st.floats()


@given(NUMBERS, NUMBERS, st.sampled_from([0.0, 1e-5, 0.5]))
def test_numbers_agree_both_ways(one: float, other: float, tolerance: float) -> None:
    """Tolerance is relative to the larger of the two, whichever it is."""
    assert agrees(one, other, tolerance) == agrees(other, one, tolerance)
