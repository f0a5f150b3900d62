"""Callers who would only wait for their deadline are told at once, and nobody else is."""

from __future__ import annotations

import asyncio
from math import inf

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlserve.batching.admission import Admission, RunCost, expected_wait_s
from mlserve.errors import InferenceFailed, Overloaded
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


class Inner:
    """A ``Predict`` that answers when it is let go."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.error: Exception | None = None

    async def __call__(self, asked: Rows, context: Context) -> Rows:
        await self.open.wait()
        if self.error is not None:
            raise self.error
        return asked


async def test_who_would_be_too_late_is_refused_at_once_with_the_time_to_come_back() -> None:
    """100 ms a run, one at a time, one second: seven may wait, the eighth would be told at its deadline."""
    inner = Inner()
    admission = Admission("m", inner, rows_per_run=None, parallel=1, clock=lambda: 50.0)
    admission.observe_run(0.1, 1)
    async with asyncio.TaskGroup() as group:
        for _ in range(8):
            group.create_task(asyncio.wait_for(admission(rows(3), Context(51.001)), 5.0))
        await asyncio.sleep(0)
        while admission.ahead < 8:
            await asyncio.sleep(0)
        with pytest.raises(Overloaded, match=r"m would answer in about 0\.9 s") as refused:
            await admission(rows(), Context(51.0))
        assert refused.value.retry_after_s == pytest.approx(0.1)
        patient = group.create_task(admission(rows(), Context(inf)))
        await asyncio.sleep(0)
        assert not patient.done(), "who has the time may wait"
        inner.open.set()
    assert admission.ahead == 0


async def test_rows_are_counted_where_they_share_runs() -> None:
    """Fifty rows in a run of fifty are one run, not fifty."""
    inner = Inner()
    admission = Admission("m", inner, rows_per_run=50, parallel=1, clock=lambda: 0.0)
    admission.observe_run(0.1, 50)
    async with asyncio.TaskGroup() as group:
        group.create_task(admission(rows(50), Context(1.0)))
        group.create_task(admission(rows(300), Context(1.0)))
        while admission.ahead < 350:
            await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await admission(rows(51), Context(1.0))
        group.create_task(admission(rows(50), Context(1.001)))
        await asyncio.sleep(0)
        assert admission.ahead == 400
        inner.open.set()


async def test_who_finds_nothing_ahead_is_let_in_whatever_runs_took() -> None:
    """A first run of a minute must not shut a model for good: only another run can show that it was an exception."""
    inner = Inner()
    inner.open.set()
    admission = Admission("m", inner, rows_per_run=None, parallel=1, clock=lambda: 0.0)
    admission.observe_run(60.0, 1)
    assert (await admission(rows(), Context(1.0))).count == 1


@pytest.mark.parametrize("how", ["fails", "leaves"])
async def test_room_is_given_back_whatever_becomes_of_a_caller(how: str) -> None:
    """Otherwise a day of failing or leaving callers shuts the door."""
    inner = Inner()
    admission = Admission("m", inner, rows_per_run=None, parallel=1)
    task = asyncio.create_task(admission(rows(), Context(inf)))
    await asyncio.sleep(0)
    assert admission.ahead == 1
    if how == "fails":
        inner.error = InferenceFailed("no", incident="i")
        inner.open.set()
        with pytest.raises(InferenceFailed):
            await task
    else:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert admission.ahead == 0
