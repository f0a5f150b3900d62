"""What a row takes to find in each tier, by how many it holds: more of them should not make it slower.

``BENCH_KEYS=1000000`` measures with as many too, which takes minutes and two gigabytes of memory and disk.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from statistics import median
from typing import Final

import numpy as np

from benchmarks.cached_model import CachedModel, assembled
from benchmarks.figure import Figure, compared, number
from benchmarks.numbered_rows import CLASSIFIER, Numbers
from benchmarks.tier_stores import LMDB, MEMORY, REDIS, datastores
from mlserve.commands.loop import run
from mlserve.types import Rows
from tests.support.redis_server import redis_server

RUNS: Final = 5
REQUESTS: Final = 40
"""In a run, of :data:`ROWS` rows each: in large requests, what is not reading weighs least."""
ROWS: Final = 100
FEW: Final = 1_000
MANY: Final = 100_000
MOST: Final = max(MANY, int(os.environ.get("BENCH_KEYS", MANY)))
BYTES_OF_KEY: Final = 1_024
"""More than an entry takes in any tier, so that nothing is evicted."""
HELD: Final = {MEMORY: (FEW, MANY, MOST), LMDB: (FEW, MANY, MOST), REDIS: (FEW, MANY)}


def measure() -> list[Figure]:
    return [figure for name in HELD for figure in run(_of_tier(name))]


async def _of_tier(name: str) -> list[Figure]:
    async with AsyncExitStack() as stack:
        counts = sorted(set(HELD[name]))
        asked = {count: await _filled(stack, name, count) for count in counts}
        figures = []
        for how, draw in (("uniform", _uniform), ("Zipf", _zipf)):
            found: dict[int, list[float]] = {count: [] for count in counts}
            for seed in range(RUNS):
                for count, one in asked.items():
                    found[count].append(await _us_a_row(one, list(draw(count, seed))))
            figures += [_figure(name, how, count, found) for count in counts]
        return figures


async def _filled(stack: AsyncExitStack, name: str, count: int) -> CachedModel:
    """A tier of its own with ``count`` rows in it."""
    server = stack.enter_context(redis_server())
    size_mb = max(16, 2 * count * BYTES_OF_KEY // 2**20)
    datastore = stack.enter_context(datastores(size_mb, server))[name]
    one = await stack.enter_async_context(assembled(CLASSIFIER, datastore))
    for first in range(0, count, MANY):
        await one.fill(CLASSIFIER.rows(np.arange(first, min(first + MANY, count))))
    return one


async def _us_a_row(one: CachedModel, requests: list[Rows]) -> float:
    """Of the median request, which others on the machine did not interrupt. Raises :class:`RuntimeError` for a miss."""
    took = []
    for rows in requests:
        start = time.perf_counter()
        said = await one.ask(rows)
        took.append(time.perf_counter() - start)
        if "miss" in said:
            raise RuntimeError(f"not everything is there: {said}")
    return median(took) / ROWS * 1e6


def _uniform(count: int, seed: int) -> Iterator[Rows]:
    """Every key is as likely."""
    return _requests(np.random.default_rng(seed).integers(count, size=REQUESTS * ROWS))


def _zipf(count: int, seed: int) -> Iterator[Rows]:
    """The n-th of the keys is asked for 1/n times as often as the first; which is which is by chance."""
    source = np.random.default_rng(seed)
    weights = 1 / np.arange(1, count + 1)
    ranks = source.choice(count, REQUESTS * ROWS, p=weights / weights.sum())
    return _requests(source.permutation(count)[ranks])


def _requests(numbers: Numbers) -> Iterator[Rows]:
    for start in range(0, len(numbers), ROWS):
        yield CLASSIFIER.rows(numbers[start : start + ROWS])


def _figure(name: str, how: str, count: int, found: dict[int, list[float]]) -> Figure:
    beside = "" if count == FEW else f"{number(compared(found[count], found[FEW]))} times as long as with {FEW:,}"
    return Figure(f"hit in {name} with {count:,} keys, {how}", found[count], "us a row", beside=beside)
