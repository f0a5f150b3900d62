"""Callers and closing: a model must never be freed twice, never under a caller, and not wait for ever for one."""

from __future__ import annotations

import asyncio
import logging

import pytest

from mlserve.errors import MlserveError
from mlserve.promise import Promise
from mlserve.serving.deployment import State
from mlserve.types import Context, Rows
from tests.support.deployments import as_lists, context, deployment, rows


class Closing:
    """Counts closes; holds them while ``free`` is not set; fails if told to."""

    def __init__(self, error: Exception | None = None) -> None:
        self.count = 0
        self.free = asyncio.Event()
        self.free.set()
        self._error = error

    async def __call__(self) -> None:
        self.count += 1
        await self.free.wait()
        if self._error is not None:
            raise self._error


async def until_kept(promise: Promise) -> None:
    while not promise.kept:
        await asyncio.sleep(0)


async def until_draining(task: asyncio.Task[None]) -> None:
    """Lets ``task`` run up to where it waits."""
    for _ in range(3):
        await asyncio.sleep(0)
    assert not task.done()


async def test_callers_are_counted() -> None:
    """Requests may overlap, and may end in any order or by an error."""
    made = deployment()
    with made as first, made:
        assert first is made
        assert made.callers == 2
    with pytest.raises(ZeroDivisionError), made:
        raise ZeroDivisionError
    assert made.callers == 0
    assert made.state is State.SERVING


async def test_a_caller_without_a_task_is_inside_until_it_was_told() -> None:
    """What it makes its answer of may be memory of the model."""
    seen: list[int] = []
    made = deployment()
    promise = made.begin(rows(x=[1]), context(), lambda promise: seen.append(made.callers))
    assert (made.callers, seen) == (1, [])
    await until_kept(promise)
    assert (made.callers, seen) == (0, [1])
    assert as_lists(promise.result()) == {"y": [2.0]}


async def test_close_waits_for_a_caller_without_a_task_also_if_it_left() -> None:
    """Its run may go on in the model for a while."""
    closing, go = Closing(), asyncio.Event()

    async def stubborn(asked: Rows, of: Context) -> Rows:
        try:
            await asyncio.Event().wait()
        finally:
            await go.wait()
        return asked

    made = deployment(stubborn, close=closing)
    promise = made.begin(rows(x=[1]), context(), lambda promise: None)
    await asyncio.sleep(0)
    promise.abandon()
    task = asyncio.create_task(made.close(60))
    await until_draining(task)
    assert (made.callers, closing.count) == (1, 0)
    go.set()
    await task
    assert (made.callers, closing.count) == (0, 1)
    assert isinstance(promise.error, asyncio.CancelledError)


async def test_what_is_not_serving_takes_no_caller_without_a_task() -> None:
    """As no other."""
    made = deployment()
    await made.close(1)
    with pytest.raises(MlserveError, match="is closed: look it up again"):
        made.begin(rows(x=[1]), context(), lambda promise: None)


async def test_close_waits_for_callers_and_closes_once() -> None:
    """Whoever is inside gets an answer of this version."""
    closing = Closing()
    made = deployment(close=closing)
    with made, made:
        task = asyncio.create_task(made.close(60))
        await until_draining(task)
        assert (made.state, closing.count) == (State.DRAINING, 0)
    await task
    assert (made.state, closing.count) == (State.CLOSED, 1)


async def test_nobody_enters_what_drains_or_is_closed() -> None:
    """A caller that came too late would run on freed memory."""
    made = deployment()
    with made:
        task = asyncio.create_task(made.close(60))
        await until_draining(task)
        with pytest.raises(MlserveError, match="is draining: look it up again"):
            made.__enter__()
        assert made.callers == 1
    await task
    with pytest.raises(MlserveError, match="is closed: look it up again"):
        made.__enter__()
    assert made.callers == 0


async def test_the_drain_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    """A caller that never ends must not keep a replaced model in memory, and is told of."""
    closing = Closing()
    made = deployment(close=closing)
    with made, caplog.at_level(logging.WARNING):
        await made.close(0.01)
        assert (made.state, closing.count) == (State.CLOSED, 1)
    assert "m: 1 callers still inside after 0 s; closing" in caplog.text
    assert made.callers == 0


async def test_closing_twice_changes_nothing() -> None:
    """The second would free memory that is free."""
    closing = Closing()
    made = deployment(close=closing)
    closing.free.clear()
    task = asyncio.create_task(made.close(1))
    await until_draining(task)
    with pytest.raises(MlserveError, match="cannot go from draining to draining"):
        await made.close(1)
    assert made.state is State.DRAINING
    closing.free.set()
    await task
    with pytest.raises(MlserveError, match="cannot go from closed to draining"):
        await made.close(1)
    assert (made.state, closing.count) == (State.CLOSED, 1)


async def test_a_close_that_fails_is_told_and_final() -> None:
    """A runtime that cannot free its model is no reason to try again under it."""
    made = deployment(close=Closing(OSError("stuck")))
    with pytest.raises(OSError, match="stuck"):
        await made.close(1)
    assert made.state is State.CLOSED


async def test_a_caller_that_is_cancelled_counts_out() -> None:
    """Clients leave; a deployment that still counts them would drain until its bound."""
    made = deployment()
    inside = asyncio.Event()

    async def caller() -> None:
        with made:
            inside.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(caller())
    await inside.wait()
    task.cancel()
    await asyncio.wait([task])
    await made.close(60)
    assert made.state is State.CLOSED
