"""A connection's deadline: the last one set counts, and nothing of it stays in the loop."""

from __future__ import annotations

import asyncio

from mlserve.transport.deadline import Deadline


class Timer:
    """What the loop was asked to call."""

    def __init__(self, at: float, call: object) -> None:
        self.at = at
        self.call = call
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Loop:
    """A clock that is moved by hand; ``timers`` are all that were ever set."""

    def __init__(self) -> None:
        self.now = 100.0
        self.timers: list[Timer] = []

    def time(self) -> float:
        return self.now

    def call_at(self, at: float, call: object) -> Timer:
        self.timers.append(Timer(at, call))
        return self.timers[-1]

    def move(self, seconds: float) -> None:
        """Let ``seconds`` pass, and what is due by then happen."""
        until = self.now + seconds
        while due := [timer for timer in self.timers if not timer.cancelled and timer.at <= until]:
            timer = min(due, key=lambda timer: timer.at)
            self.now, timer.cancelled = timer.at, True
            timer.call()  # type: ignore[operator]  # a Deadline's own method
        self.now = until


class Passed(list[float]):
    """When the deadline passed."""


def fresh() -> tuple[Loop, Passed, Deadline]:
    loop, passed = Loop(), Passed()
    return loop, passed, Deadline(loop, lambda: passed.append(loop.now))  # type: ignore[arg-type]  # as much as it uses


def test_it_passes_once_at_its_time() -> None:
    """Early cuts the patient, late or never keeps the dead."""
    loop, passed, deadline = fresh()
    deadline.set(5.0)
    loop.move(4.9)
    assert not passed
    loop.move(100.0)
    assert passed == [105.0]


def test_the_last_one_set_counts_and_costs_no_timer() -> None:
    """Each request moves the deadline; a timer for each would fill the loop."""
    loop, passed, deadline = fresh()
    for _ in range(1000):
        deadline.set(5.0)
        loop.move(0.01)
    assert len(loop.timers) < 5
    loop.move(100.0)
    assert [round(at, 6) for at in passed] == [100.0 + 9.99 + 5.0]


def test_an_earlier_one_replaces_a_later_one() -> None:
    """A request has five seconds on a connection that was idle with seventy-five."""
    loop, passed, deadline = fresh()
    deadline.set(75.0)
    deadline.set(5.0)
    loop.move(200.0)
    assert passed == [105.0]


def test_none_passes_after_clear_until_one_is_set_and_none_after_close() -> None:
    """A handler takes the time it takes, and a connection that is gone has no time at all."""
    loop, passed, deadline = fresh()
    deadline.set(5.0)
    deadline.clear()
    loop.move(50.0)
    assert not passed
    deadline.set(5.0)
    loop.move(50.0)
    assert passed == [155.0]
    deadline.set(5.0)
    deadline.close()
    assert all(timer.cancelled for timer in loop.timers)


async def test_it_works_with_a_real_loop() -> None:
    """The loop's own timers have the signature that the fake has."""
    passed = asyncio.Event()
    deadline = Deadline(asyncio.get_running_loop(), passed.set)
    deadline.set(60.0)
    deadline.set(0.01)
    async with asyncio.timeout(5.0):
        await passed.wait()
    deadline.close()
