"""Plain scalars mean what people expect of them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlserve.config.scalar import doubt_of, value_of


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("~", None),
        ("null", None),
        ("true", True),
        ("Yes", True),
        ("OFF", False),
        ("oN", "oN"),
        ("y", "y"),
        ("0", 0),
        ("-12", -12),
        ("1_000", 1000),
        ("010", 8),
        ("08", 8),
        ("0x1F", 31),
        ("0o17", 15),
        ("0b11", 3),
        ("0x_", "0x_"),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1e5", 1e5),
        ("-1.5E-3", -0.0015),
        (".inf", math.inf),
        ("-.Inf", -math.inf),
        ("12:30:45", "12:30:45"),
        ("2024-01-31", "2024-01-31"),
        ("2ms", "2ms"),
        ("1.2.3", "1.2.3"),
        ("e5", "e5"),
        ("9" * 5000, "9" * 5000),
    ],
)
def test_value(text: str, value: object) -> None:
    """A date would become an object, a time a number, or a float with an exponent text."""
    assert value_of(text) == value
    assert type(value_of(text)) is type(value)


def test_nan() -> None:
    """``Default: .nan`` would be text."""
    assert math.isnan(value_of(".nan"))  # type: ignore[arg-type]  # it is a float


@pytest.mark.parametrize(
    ("text", "doubtful"), [("no", True), ("On", True), ("true", False), ("007", True), ("0", False)]
)
def test_doubt(text: str, doubtful: bool) -> None:
    """A country code or a post code would silently become something else."""
    assert (doubt_of(text) is not None) is doubtful


@given(st.text(st.sampled_from("0123456789_+-.eExXoOb:aflnty"), max_size=12))
def test_any_text_has_a_value(text: str) -> None:
    """Some odd number would end the reading of a configuration."""
    assert value_of(text) is None or isinstance(value_of(text), bool | int | float | str)
