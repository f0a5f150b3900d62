"""Callers who would only wait for their deadline are told at once, and nobody else is."""

from __future__ import annotations

from math import inf

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlserve.batching.admission import Admission, RunCost, expected_wait_s
from mlserve.errors import Overloaded
from mlserve.types import Context, Rows


def rows(count: int = 1) -> Rows:
    return Rows({"x": np.zeros(count)}, count)


# -- the pure function ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ahead", "own", "per_run", "parallel", "wait_s"),
    [
        (0, 1, 1, 1, 0.1),  # nothing ahead: its own run
        (1, 1, 1, 1, 0.2),
        (9, 1, 1, 1, 1.0),
        (9, 1, 1, 3, 0.4),
        (9, 1, 10, 1, 0.2),  # a batch is under way or about to be, then its own
        (10, 1, 10, 1, 0.2),
        (11, 1, 10, 1, 0.3),
        (0, 25, 10, 1, 0.3),  # split in three
        (0, 25, 10, 4, 0.1),  # that run beside one another
        (40, 25, 10, 2, 0.35),
    ],
)
def test_expected_wait(ahead: int, own: int, per_run: int, parallel: int, wait_s: float) -> None:
    """The arithmetic that decides who is refused."""
    assert expected_wait_s(ahead=ahead, own=own, per_run=per_run, parallel=parallel, run_s=0.1) == pytest.approx(wait_s)


# -- what runs cost ------------------------------------------------------------------------------------------------


def test_the_first_run_is_believed_and_later_ones_shift_it_slowly() -> None:
    """One run that was slow (another process, a page fault) must not close the door."""
    cost = RunCost()
    assert cost.seconds(1) == 0.0
    for _ in range(20):
        cost.observe(0.01, 1)
    cost.observe(1.0, 1)
    assert cost.seconds(1) < 0.12
    for _ in range(40):
        cost.observe(0.01, 1)
    assert cost.seconds(1) == pytest.approx(0.01, rel=0.2)


@given(
    run_s=st.floats(0.0001, 0.1),
    row_s=st.floats(0.00001, 0.01),
    few=st.integers(1, 8),
    many=st.integers(16, 512),
)
def test_two_sizes_tell_runs_from_rows(run_s: float, row_s: float, few: int, many: int) -> None:
    """After a quiet time of small runs, the first large one must be enough to foresee the next."""
    cost = RunCost()
    for _ in range(10):
        cost.observe(run_s + row_s * few, few)
    cost.observe(run_s + row_s * many, many)
    assert cost.seconds(many) == pytest.approx(run_s + row_s * many, rel=0.01)
    assert cost.seconds(few) == pytest.approx(run_s + row_s * few, rel=0.01)


@given(st.lists(st.tuples(st.floats(1e-6, 10.0), st.integers(1, 512)), min_size=1), st.integers(1, 512))
def test_noise_makes_no_nonsense(runs: list[tuple[float, int]], asked: int) -> None:
    """A cost below nothing would let everybody in, an endless one nobody."""
    cost = RunCost()
    for seconds, size in runs:
        cost.observe(seconds, size)
    assert 0.0 <= cost.seconds(asked) <= 512 * 10.0 * 512


# -- the door ------------------------------------------------------------------------------------------------------


class Door:
    """An admission before a ``Predict`` that answers at once; ``ahead`` is what a test says."""

    def __init__(self, *, rows_per_run: int | None, now: float = 0.0) -> None:
        self.ahead = 0
        self.let_in: list[Rows] = []
        self.admission = Admission(
            "m",
            self._predict,
            ahead=lambda: self.ahead,
            rows_per_run=rows_per_run,
            parallel=1,
            clock=lambda: now,
        )

    async def _predict(self, asked: Rows, context: Context) -> Rows:
        self.let_in.append(asked)
        return asked


async def test_who_would_be_too_late_is_refused_at_once_with_the_time_to_come_back() -> None:
    """100 ms a run, one at a time, one second: seven may wait, the eighth would be told at its deadline."""
    door = Door(rows_per_run=None, now=50.0)
    door.admission.observe_run(0.1, 1)
    door.ahead = 7
    assert await door.admission(rows(3), Context(51.001)) is door.let_in[0]
    door.ahead = 8
    with pytest.raises(Overloaded, match=r"m would answer in about 0\.9 s") as refused:
        await door.admission(rows(), Context(51.0))
    assert refused.value.retry_after_s == pytest.approx(0.1)
    await door.admission(rows(), Context(inf))
    assert len(door.let_in) == 2, "who has the time may wait"


async def test_rows_are_counted_where_they_share_runs() -> None:
    """Fifty rows in a run of fifty are one run, not fifty."""
    door = Door(rows_per_run=50)
    door.admission.observe_run(0.1, 50)
    door.ahead = 350
    with pytest.raises(Overloaded):
        await door.admission(rows(51), Context(1.0))
    await door.admission(rows(50), Context(1.001))
    assert [asked.count for asked in door.let_in] == [50]


async def test_who_finds_nothing_ahead_is_let_in_whatever_runs_took() -> None:
    """A first run of a minute must not shut a model for good: only another run can show that it was an exception."""
    door = Door(rows_per_run=None)
    door.admission.observe_run(60.0, 1)
    assert (await door.admission(rows(), Context(1.0))).count == 1


@given(
    ahead=st.integers(1, 5_000),
    own=st.integers(1, 2_000),
    per_run=st.integers(1, 600),
    parallel=st.integers(1, 8),
    runs=st.lists(st.tuples(st.floats(1e-6, 10.0), st.integers(1, 600)), min_size=1, max_size=5),
    left_s=st.floats(0.0, 100.0),
)
async def test_who_is_let_in_without_a_closer_look_would_have_been_anyway(
    ahead: int, own: int, per_run: int, parallel: int, runs: list[tuple[float, int]], left_s: float
) -> None:
    """The quick check before the estimate would let requests in that can only wait for their deadline."""
    cost = RunCost()

    async def predict(asked: Rows, context: Context) -> Rows:
        return asked

    admission = Admission("m", predict, ahead=lambda: ahead, rows_per_run=per_run, parallel=parallel, clock=lambda: 0.0)
    for seconds, size in runs:
        cost.observe(seconds, min(size, per_run))
        admission.observe_run(seconds, min(size, per_run))
    run_s = cost.seconds(min(per_run, ahead + own))
    wait_s = expected_wait_s(ahead=ahead, own=own, per_run=per_run, parallel=parallel, run_s=run_s)
    if wait_s > 0.8 * left_s:
        with pytest.raises(Overloaded):
            await admission(rows(own), Context(left_s))
    else:
        assert (await admission(rows(own), Context(left_s))).count == own
