"""A step is an instruction of Python, counted where it runs, and the same number each time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from benchmarks.guard.steps import StepCounter, Steps

HERE = "tests/benchmarks/guard/test_steps.py"


@pytest.fixture
def counter() -> Iterator[StepCounter]:
    made = StepCounter()
    yield made
    made.close()


def add_up(count: int) -> int:
    total = 0
    for number in range(count):
        total += number
    return total


def steps_of(counter: StepCounter, count: int) -> Steps:
    counter.start()
    add_up(count)
    return counter.stop()


def test_the_same_work_takes_the_same_steps(counter: StepCounter) -> None:
    """A number that moves by itself would need a limit wide enough to hide a loss."""
    runs = [steps_of(counter, 100) for _ in range(5)]
    assert runs == [runs[0]] * 5
    assert runs[0][f"{HERE} add_up"] > 400


def test_more_work_takes_more_steps(counter: StepCounter) -> None:
    """By so much for each turn of a loop, whichever Python counts: the law that makes a loss a share."""
    ten, twenty, thirty = (steps_of(counter, count)[f"{HERE} add_up"] for count in (10, 20, 30))
    assert 0 < twenty - ten == thirty - twenty


async def test_a_coroutine_is_counted_after_it_waited(counter: StepCounter) -> None:
    """Most of a request's way is in coroutines that wait."""

    async def wait_and_add() -> None:
        await asyncio.sleep(0)
        add_up(50)

    counter.start()
    await wait_and_add()
    steps = counter.stop()
    assert steps[f"{HERE} add_up"] > 200
    assert any("wait_and_add" in name for name in steps)


def test_threads_are_counted(counter: StepCounter) -> None:
    """Models that take long run in threads."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(add_up, 1).result()
        counter.start()
        pool.submit(add_up, 50).result()
        steps = counter.stop()
    assert steps[f"{HERE} add_up"] == steps_of(counter, 50)[f"{HERE} add_up"]


def test_nothing_is_counted_before_the_start_and_after_the_stop(counter: StepCounter) -> None:
    """Warming up would otherwise be a part of the first request."""
    add_up(100)
    counter.start()
    assert f"{HERE} add_up" not in counter.stop()
    add_up(100)
    assert f"{HERE} add_up" not in counter.stop()


def test_the_guard_does_not_count_itself(counter: StepCounter) -> None:
    """A change of the guard would look like one of the server."""
    assert not any(name.startswith("benchmarks/guard") for name in steps_of(counter, 10))
