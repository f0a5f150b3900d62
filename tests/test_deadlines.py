"""Somebody would wait for ever, or every quick answer would cost a timer, if these failed."""

from __future__ import annotations

import asyncio
from math import inf

import pytest

from mlserve.deadlines import Deadlines
from tests.support import virtual_time
from tests.support.held_predict import turns
from tests.support.virtual_time import in_virtual_time


class Waiting:
    """Notes when its time was up."""

    def __init__(self, seconds: float) -> None:
        self.timer: asyncio.TimerHandle | None = None
        self.waits = True
        self.deadline = virtual_time.clock() + seconds
        self.expired_at: list[float] = []

    def expire(self) -> None:
        self.expired_at.append(virtual_time.clock())


@in_virtual_time
async def test_each_is_told_at_its_own_time() -> None:
    """The most patient first: order must not matter."""
    deadlines, waiting = Deadlines(), [Waiting(5), Waiting(1), Waiting(3)]
    for one in waiting:
        deadlines.watch(one)
    await asyncio.sleep(10)
    assert [one.expired_at for one in waiting] == [[pytest.approx(one.deadline)] for one in waiting]


@in_virtual_time
async def test_who_has_an_answer_by_the_end_of_the_step_costs_no_timer() -> None:
    """That is what this is for."""
    deadlines, quick, slow, endless = Deadlines(), Waiting(1), Waiting(1), Waiting(inf)
    for one in (quick, slow, endless):
        deadlines.watch(one)
    quick.waits = False
    await turns()
    assert [one.timer is None for one in (quick, slow, endless)] == [True, False, True]
    assert slow.timer is not None
    slow.timer.cancel()


@in_virtual_time
async def test_a_deadline_that_moved_is_the_one_that_counts() -> None:
    """A flight lives as long as the most patient of its callers, who may come last."""
    deadlines, one = Deadlines(), Waiting(2)
    deadlines.watch(one)
    await asyncio.sleep(1)
    one.deadline += 5
    await asyncio.sleep(20)
    assert one.expired_at == [pytest.approx(one.deadline)]


@in_virtual_time
async def test_a_deadline_that_has_passed_is_told_at_once() -> None:
    """The step itself may have taken longer than there was time."""
    deadlines, one = Deadlines(), Waiting(-1)
    deadlines.watch(one)
    await turns()
    assert len(one.expired_at) == 1
