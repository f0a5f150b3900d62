"""Growth as an exponent, and what counts as too much of it."""

from __future__ import annotations

import pytest

from benchmarks.growth.axis import FLAT, LINEAR
from benchmarks.growth.results import Grown


def grown(costs: dict[int, float], limit: float) -> Grown:
    """Three rounds, of which one was disturbed."""
    found = Grown("hits", limit)
    for factor in (1.0, 9.0, 1.0):
        for count, cost in costs.items():
            found.add(count, cost * factor, 1e6 / cost)
    return found


@pytest.mark.parametrize(("power", "limit", "well"), [(0, FLAT, True), (0.3, FLAT, False), (1, LINEAR, True)])
def test_the_exponent_is_that_of_the_cost(power: float, limit: float, well: bool) -> None:
    """A table that calls a cost flat that is not, or linear growth a fault."""
    found = grown({count: 20.0 * count**power for count in (1, 10, 100, 1000)}, limit)
    assert found.exponent == pytest.approx(power)
    assert found.steepest == pytest.approx(power)
    assert found.well == well


def test_a_jump_is_told_although_the_ends_are_near() -> None:
    """What is dear with few of them would hide a cost that explodes with many."""
    found = grown({1: 50.0, 100: 10.0, 500: 490.0}, LINEAR)
    assert found.exponent < LINEAR
    assert found.steepest > 2
    assert not found.well
