"""A ratio is of what requests take, whatever neighbours take in some of the rounds."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import cycle
from typing import cast

import pytest

from benchmarks.guard.callers import Callers
from benchmarks.guard.paths import Path
from benchmarks.guard.times import Beside
from benchmarks.guard.wire import Wire

US = 1e-6


class Costly(asyncio.Protocol):
    """Answers, and the clock goes on by the next of ``costs``."""

    def __init__(self, clock: list[float], costs: Iterator[float]) -> None:
        self._clock = clock
        self._costs = costs

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._clock[0] += next(self._costs)
        self._transport.write(b"done")


@pytest.mark.parametrize(("callers", "repeats"), [(1, 1), (1, 7), (3, 2)])
@pytest.mark.parametrize(
    "ours",
    [[30 * US], [30 * US] * 30 + [900 * US] * 60, [1 * US] + [30 * US] * 10_000],
    ids=["quiet", "disturbed two times of three", "lucky once"],
)
async def test_the_ratio_is_of_undisturbed_rounds(ours: list[float], callers: int, repeats: int) -> None:
    """A neighbour would fail the guard; and one lucky round, or a wrong number of requests, would let a loss pass."""
    loop = asyncio.get_running_loop()
    clock = [0.0]
    beside = Beside(lambda: Costly(clock, cycle([10 * US])), lambda: clock[0])
    costs = cycle(ours)
    path = Path("a path", b"ours", b"bare", None, callers=callers, repeats=repeats)
    asking = Callers(path, [Wire(loop, lambda: Costly(clock, costs)) for _ in range(callers)])
    assert await beside.ratio(asking) == pytest.approx(3.0)
