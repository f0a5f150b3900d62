"""Durations read as people and mly write them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlserve.config.units import parse_duration


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (500_000, "ns", timedelta(microseconds=500)),
        ("500us", "ns", timedelta(microseconds=500)),
        ("500µs", "ms", timedelta(microseconds=500)),
        ("2ms", "ns", timedelta(milliseconds=2)),
        ("1.5s", "ms", timedelta(seconds=1.5)),
        ("15m", "ms", timedelta(minutes=15)),
        (" 1 h ", "ms", timedelta(hours=1)),
        ("2d", "ms", timedelta(days=2)),
        ("300", "ms", timedelta(milliseconds=300)),
        (0.5, "s", timedelta(seconds=0.5)),
        (0, "ns", timedelta(0)),
        (-1, "ns", -timedelta.resolution),
    ],
)
def test_forms(value: object, unit: str, expected: timedelta) -> None:
    """A form that the contract promises would be refused or counted in the wrong unit."""
    assert parse_duration(value, unit) == expected


@pytest.mark.parametrize("value", ["", "soon", "5 parsecs", True, None, float("nan"), float("inf"), 10**400, "1e3s"])
def test_refused(value: object) -> None:
    """Nonsense would become a duration, or an overflow would end in a traceback."""
    with pytest.raises(ValueError, match="expected a duration"):
        parse_duration(value, "s")


@given(st.integers(0, 10**9))
def test_bare_numbers_count_in_the_fields_own_unit(count: int) -> None:
    """``TimeToLiveMs: 900000`` and ``900000ms`` would differ."""
    assert parse_duration(count, "ms") == parse_duration(f"{count}ms", "ns") == timedelta(milliseconds=count)
