"""Slow code would block the loop, grow without bound or hurt those who did not call it, if these failed."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncIterator

import pytest

from mlserve.errors import DeadlineExceeded, InferenceFailed, NotReady, Overloaded
from mlserve.inference.workers import Workers
from tests.support.models import Gate


@pytest.fixture
async def workers() -> AsyncIterator[Workers]:
    """One thread, and room for four rows."""
    made = Workers("m", threads=1, max_queued_rows=4)
    yield made
    await made.close()


def soon() -> float:
    """A deadline that passes while something waits at a gate."""
    return asyncio.get_running_loop().time() + 0.02


def later() -> float:
    return asyncio.get_running_loop().time() + 30


class Count:
    """Something to call that keeps count."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> int:
        self.calls += 1
        return self.calls


async def held(workers: Workers, gate: Gate) -> asyncio.Task[None]:
    """A task whose call is running and stays at ``gate``."""
    task = asyncio.create_task(workers.run(gate.hold, 1, later()))
    await asyncio.to_thread(gate.wait_for_arrival)
    return task


async def test_calls_run_off_the_loop(workers: Workers) -> None:
    """A run on the loop's thread would stop every other request."""
    assert await workers.run(threading.get_ident, 1, later()) != threading.get_ident()


async def test_a_caller_cancelled_while_queued_never_costs_a_run(workers: Workers) -> None:
    """Under load, work for callers who left would keep the server from those who wait."""
    count = Count()
    with Gate() as gate:
        running = await held(workers, gate)
        queued = asyncio.create_task(workers.run(count, 1, later()))
        await asyncio.sleep(0)
        queued.cancel()
        await asyncio.wait([queued])
        gate.open()
        await running
    assert queued.cancelled()
    assert await workers.run(count, 1, later()) == 1


async def test_a_caller_cancelled_while_running_harms_nobody(workers: Workers) -> None:
    """The run goes on, the next caller gets its own answer, and the rows are counted until the thread is free."""
    with Gate() as gate:
        running = await held(workers, gate)
        neighbour = asyncio.create_task(workers.run(lambda: "mine", 1, later()))
        await asyncio.sleep(0)
        running.cancel()
        await asyncio.wait([running])
        assert running.cancelled()
        assert workers.pending_rows == 2
        gate.open()
        assert await neighbour == "mine"
    await workers.run(lambda: None, 1, later())
    assert workers.pending_rows == 0


async def test_a_deadline_that_passes_while_queued_drops_the_call(workers: Workers) -> None:
    """It would run for an answer that nobody may have any more."""
    count = Count()
    with Gate() as gate:
        running = await held(workers, gate)
        with pytest.raises(DeadlineExceeded, match="m did not answer before the deadline"):
            await workers.run(count, 1, soon())
        gate.open()
        await running
    await workers.run(lambda: None, 1, later())
    assert count.calls == 0


async def test_a_deadline_that_passes_while_running_answers_at_once(workers: Workers) -> None:
    """A model that hangs must not hang its callers."""
    with Gate() as gate:
        with pytest.raises(DeadlineExceeded):
            await workers.run(gate.hold, 1, soon())
        assert workers.pending_rows == 1


async def test_a_deadline_in_the_past_costs_nothing(workers: Workers) -> None:
    """The thread would begin before the loop had a chance to say no."""
    count = Count()
    with pytest.raises(DeadlineExceeded):
        await workers.run(count, 1, asyncio.get_running_loop().time())
    await workers.run(lambda: None, 1, later())
    assert count.calls == 0


async def test_what_a_call_raises_reaches_its_caller(workers: Workers) -> None:
    """And only its caller: the thread goes on."""

    def fail() -> None:
        raise InferenceFailed("no", incident="1")

    with pytest.raises(InferenceFailed):
        await workers.run(fail, 1, later())
    assert await workers.run(lambda: 1, 1, later()) == 1


async def test_a_call_that_fails_after_its_caller_left_is_not_reported_twice(workers: Workers) -> None:
    """Whoever raised has logged it; asyncio would add a warning that nobody can act on."""
    complaints: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, what: complaints.append(what))
    with Gate() as gate:

        def fail() -> None:
            gate.hold()
            raise InferenceFailed("no", incident="1")

        task = asyncio.create_task(workers.run(fail, 1, later()))
        await asyncio.to_thread(gate.wait_for_arrival)
        task.cancel()
        await asyncio.wait([task])
    await workers.run(lambda: None, 1, later())
    del task
    gc.collect()
    assert complaints == []


async def test_the_queue_is_bounded_in_rows(workers: Workers) -> None:
    """Memory would be the only bound. What fits exactly is taken."""
    with Gate() as gate:
        running = await held(workers, gate)
        fits = asyncio.create_task(workers.run(lambda: "fits", 3, later()))
        await asyncio.sleep(0)
        with pytest.raises(Overloaded, match="m has 4 rows waiting; its limit is 4") as caught:
            await workers.run(lambda: None, 1, later())
        assert caught.value.retry_after_s is not None
        gate.open()
        assert await fits == "fits"
        await running


async def test_callers_who_left_still_fill_the_queue_of_code_that_hangs(workers: Workers) -> None:
    """Without that, each deadline would make room for more, and the queue of a hung model would never end."""
    with Gate() as gate:
        running = await held(workers, gate)
        for _ in range(3):
            with pytest.raises(DeadlineExceeded):
                await workers.run(lambda: None, 1, soon())
        with pytest.raises(Overloaded):
            await workers.run(lambda: None, 1, soon())
        gate.open()
        await running
    while workers.pending_rows:
        await asyncio.sleep(0)
    await workers.run(lambda: None, 4, later())


async def test_one_large_request_is_taken_when_nothing_else_is_there(workers: Workers) -> None:
    """It could never be answered otherwise, however often its caller came back."""
    assert await workers.run(lambda: "large", 400, later()) == "large"


async def test_closing_while_busy_waits_then_releases_once() -> None:
    """To free a model under its run would end the process."""
    order: list[str] = []
    workers = Workers("m", threads=1, max_queued_rows=4)
    with Gate() as gate:

        def run() -> None:
            gate.hold()
            order.append("ran")

        caller = asyncio.create_task(workers.run(run, 1, later()))
        await asyncio.to_thread(gate.wait_for_arrival)
        caller.cancel()
        await asyncio.wait([caller])
        closing = asyncio.create_task(workers.close(lambda: order.append("released")))
        await asyncio.sleep(0.01)
        assert order == []
        gate.open()
        await closing
    assert order == ["ran", "released"]


async def test_callers_queued_at_closing_are_told_so() -> None:
    """They would see a cancellation that was not theirs, which means "the client left" further up."""
    workers = Workers("m", threads=1, max_queued_rows=4)
    with Gate() as gate:
        running = await held(workers, gate)
        queued = asyncio.create_task(workers.run(lambda: None, 1, later()))
        await asyncio.sleep(0)
        closing = asyncio.create_task(workers.close())
        await asyncio.sleep(0)
        gate.open()
        with pytest.raises(NotReady, match="m is closing"):
            await queued
        await running
        await closing


async def test_after_closing_callers_are_told_so() -> None:
    """A pool that is shut down raises RuntimeError, which is nobody's status."""
    workers = Workers("m", threads=1, max_queued_rows=4)
    await workers.close()
    assert workers.closed
    with pytest.raises(NotReady, match="m is closing"):
        await workers.run(lambda: None, 1, later())
