"""A store, or a model that others use too, is not flooded."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlserve.commands.pace import Pace


class Clock:
    """Moves when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@given(
    rate=st.floats(0.5, 1000),
    steps=st.lists(st.tuples(st.integers(1, 50), st.floats(0, 10)), min_size=1, max_size=20),
)
def test_never_more_than_the_rate_and_one_batch(rate: float, steps: list[tuple[int, float]]) -> None:
    """Whatever the batches, and however long each takes: between two of them lies the time that the first is worth."""
    clock = Clock()
    pace = Pace(rate, clock)
    left_at: list[tuple[float, int]] = []
    for rows, takes_s in steps:
        clock.now += pace.wait_s(rows)
        left_at.append((clock.now, rows))
        clock.now += takes_s
    for at, (begun, _) in enumerate(left_at):
        gone = 0
        for later, rows in left_at[at:]:
            assert gone <= (later - begun) * rate + 1e-6
            gone += rows


def test_the_first_rows_go_at_once_and_late_ones_do_not_wait() -> None:
    """Time that was spent elsewhere counts, and is not saved up for a burst."""
    clock = Clock()
    pace = Pace(10, clock)
    assert pace.wait_s(20) == 0
    clock.now += 1.5
    assert pace.wait_s(10) == pytest.approx(0.5)
    clock.now += 60
    assert pace.wait_s(10) == 0
    assert pace.wait_s(10) == pytest.approx(1)


def test_no_rate_is_no_wait() -> None:
    """Who does not ask for it is not slowed down."""
    pace = Pace(None, Clock())
    assert [pace.wait_s(10**9), pace.wait_s(1)] == [0, 0]
