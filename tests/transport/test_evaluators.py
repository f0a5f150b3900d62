"""One bound on evaluations for all models: it holds, it is fair, it loses no slot, and waiting for it is short."""

from __future__ import annotations

import asyncio
from math import inf
from time import monotonic

import pytest

from mlserve.errors import DeadlineExceeded, Overloaded
from mlserve.transport.evaluators import Evaluators


class Evaluation:
    """A task that holds a slot until it is told to end."""

    def __init__(self, evaluators: Evaluators, order: list[int], number: int) -> None:
        self.end = asyncio.Event()
        self.task = asyncio.create_task(self._hold(evaluators, order, number))

    async def _hold(self, evaluators: Evaluators, order: list[int], number: int) -> None:
        with await evaluators.slot(inf):
            order.append(number)
            await self.end.wait()


async def turn_loop() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_the_bound_holds_and_the_line_is_served_in_order() -> None:
    """First come, first served, and never more than there are slots."""
    evaluators, order = Evaluators(2, 60.0), []  # type: tuple[Evaluators, list[int]]
    holders = [Evaluation(evaluators, order, number) for number in range(5)]
    await turn_loop()
    assert (order, evaluators.in_progress, evaluators.waiting) == ([0, 1], 2, 3)
    for ended in range(5):
        holders[ended].end.set()
        await turn_loop()
        assert order == list(range(min(5, ended + 3)))
    assert (evaluators.in_progress, evaluators.waiting) == (0, 0)


async def test_waiting_is_short_and_ends_with_overloaded() -> None:
    """A caller learns within MaxEvaluatorWait that it should come back, and leaves nothing in line."""
    evaluators = Evaluators(1, 0.01)
    with await evaluators.slot(inf):
        for _ in range(2):
            with pytest.raises(Overloaded, match="MaxEvaluatorConcurrency allows: 1") as refused:
                await evaluators.slot(monotonic() + 60.0)
            assert refused.value.retry_after_s == 1.0
            assert evaluators.waiting == 0
    assert evaluators.in_progress == 0
    with await evaluators.slot(inf):
        pass


async def test_an_earlier_deadline_is_told_as_such() -> None:
    """504 says that the caller's time was up, 429 that it may try again."""
    evaluators = Evaluators(1, 60.0)
    with await evaluators.slot(inf):
        for left in (0.01, -1.0):
            with pytest.raises(DeadlineExceeded):
                await evaluators.slot(monotonic() + left)
    assert (evaluators.in_progress, evaluators.waiting) == (0, 0)


async def test_a_caller_that_leaves_the_line_takes_nothing_with_it() -> None:
    """Clients that give up must not shrink the bound."""
    evaluators, order = Evaluators(1, 60.0), []  # type: tuple[Evaluators, list[int]]
    holder, leaver, last = (Evaluation(evaluators, order, number) for number in range(3))
    await turn_loop()
    leaver.task.cancel()
    await turn_loop()
    assert evaluators.waiting == 1
    holder.end.set()
    await turn_loop()
    assert order == [0, 2]
    last.end.set()
    await turn_loop()
    assert evaluators.in_progress == 0


async def test_a_caller_that_leaves_just_when_its_turn_comes_passes_the_slot_on() -> None:
    """The slot belongs to nobody for one step of the loop."""
    evaluators, order = Evaluators(1, 60.0), []  # type: tuple[Evaluators, list[int]]
    waiting: list[Evaluation] = []
    with await evaluators.slot(inf):
        waiting += [Evaluation(evaluators, order, number) for number in range(2)]
        await turn_loop()
    waiting[0].task.cancel()
    await turn_loop()
    assert (order, evaluators.in_progress) == ([1], 1)
    waiting[1].end.set()
    await turn_loop()
    assert evaluators.in_progress == 0


async def test_a_caller_that_leaves_just_when_its_time_is_up_frees_nothing_twice() -> None:
    """The bound must not grow either."""
    evaluators = Evaluators(1, 0.0)
    with await evaluators.slot(inf):
        task = asyncio.create_task(evaluators.slot(inf))
        while not evaluators.waiting:
            await asyncio.sleep(0)
        while evaluators.waiting:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises((asyncio.CancelledError, Overloaded)):
            await task
        assert evaluators.in_progress == 1
    assert evaluators.in_progress == 0


async def test_an_evaluation_that_fails_gives_its_slot_back() -> None:
    """Errors are every day's weather."""
    evaluators = Evaluators(1, 0.0)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), await evaluators.slot(inf):
            raise ZeroDivisionError
    assert evaluators.in_progress == 0


async def test_a_slot_can_be_taken_without_waiting_if_one_is_free() -> None:
    """Who has no task cannot stand in line, and must not pass those who do."""
    evaluators = Evaluators(1, 60.0)
    assert evaluators.take()
    assert not evaluators.take()
    order: list[int] = []
    holder = Evaluation(evaluators, order, 1)
    await turn_loop()
    assert (order, evaluators.waiting) == ([], 1)
    evaluators.give_back()
    assert not evaluators.take(), "it is the next one's in line"
    await turn_loop()
    assert order == [1]
    holder.end.set()
    await holder.task
    assert evaluators.in_progress == 0
