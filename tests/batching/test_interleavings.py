"""Whatever comes in whatever order, each caller gets its own rows or its own error, and nothing is left behind."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mlserve.batching.batcher import Batcher
from mlserve.batching.window import BatchPolicy
from mlserve.errors import DeadlineExceeded, Overloaded
from mlserve.types import Context, Rows
from tests.support import virtual_time


@dataclass(frozen=True)
class Call:
    """A request: when it comes, of what, and how it ends. Times in tenths of milliseconds."""

    at: int
    rows: int
    width: int
    timeout: int
    leaves: int | None
    bad: bool


CALLS = st.builds(
    Call,
    at=st.integers(0, 60),
    rows=st.integers(0, 9),
    width=st.integers(1, 2),
    timeout=st.integers(1, 400),
    leaves=st.none() | st.integers(0, 60),
    bad=st.integers(0, 5).map(lambda n: n == 0),
)
POLICIES = st.builds(
    BatchPolicy,
    max_rows=st.integers(1, 6),
    max_queued_rows=st.integers(1, 30),
    max_runs=st.integers(1, 3),
    wait_s=st.sampled_from([0.0, 0.0, 0.0005, 0.003]),
    increment_s=st.just(0.001),
    increment_max=st.sampled_from([0, 0, 2]),
)
TENTH_MS = 1e-4


class Failed(Exception):
    """What the model raises for a run that holds a bad row."""


@settings(max_examples=150, deadline=None)
@given(calls=st.lists(CALLS, max_size=12), policy=POLICIES, run_time=st.integers(0, 20))
def test_every_caller_gets_its_own(calls: list[Call], policy: BatchPolicy, run_time: int) -> None:
    """Answers would be mixed up, lost, or counted for ever."""
    virtual_time.run(_play(calls, policy, run_time * TENTH_MS))


async def _play(calls: list[Call], policy: BatchPolicy, run_time: float) -> None:
    running = 0

    async def predict(rows: Rows, context: Context) -> Rows:
        nonlocal running
        x = rows.columns["x"]
        assert rows.count == len(x) <= policy.max_rows
        running += rows.count > 0
        assert running <= policy.max_runs
        try:
            await asyncio.sleep(run_time)
        finally:
            running -= rows.count > 0
        if (x < 0).any():
            raise Failed
        return Rows({"y": x * 2}, rows.count)

    async def play(number: int, call: Call) -> None:
        await asyncio.sleep(call.at * TENTH_MS)
        sign = -1 if call.bad else 1
        x = np.full((call.rows, call.width), (number + 1) * 1000.0 * sign) + np.arange(call.rows)[:, None]
        context = Context(asyncio.get_running_loop().time() + call.timeout * TENTH_MS)

        async def ask() -> Rows:
            return await batcher(Rows({"x": x}, call.rows), context)

        asked = asyncio.create_task(ask())
        if call.leaves is not None:
            await asyncio.sleep(call.leaves * TENTH_MS)
            asked.cancel()
        (outcome,) = await asyncio.gather(asked, return_exceptions=True)
        if isinstance(outcome, Rows):
            assert not call.bad or not call.rows
            np.testing.assert_array_equal(outcome.columns["y"], x * 2)
        elif isinstance(outcome, Failed):
            assert call.bad
        elif isinstance(outcome, asyncio.CancelledError):
            assert call.leaves is not None
        else:
            assert isinstance(outcome, DeadlineExceeded | Overloaded)

    batcher = Batcher("m", predict, policy, clock=virtual_time.clock)
    await asyncio.gather(*(play(number, call) for number, call in enumerate(calls)))
    await asyncio.sleep(1)  # runs that outlived their callers end
    assert batcher.queued_rows == 0
    await batcher.close()
