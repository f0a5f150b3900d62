"""What caches cost when nothing is ever found in them: rows a second, beside the same model without."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from statistics import median
from typing import Final

import numpy as np

from benchmarks.cached_classifier import TIERS, Classifier, classifier, numbered, places, redis
from benchmarks.figure import Figure, number
from mlserve.commands.loop import run
from mlserve.types import Rows

RUNS: Final = 5
CALLERS: Final = 32
ROWS: Final = {1: 2_000, 100: 10_000}
"""By the rows of a request: how many rows are asked in a run."""
SIZE_MB: Final = 128
NONE: Final = "no cache"
GOAL: Final = 0.9


def measure() -> list[Figure]:
    return run(_measure())


async def _measure() -> list[Figure]:
    async with AsyncExitStack() as stack:
        datastores = stack.enter_context(places(SIZE_MB, stack.enter_context(redis())))
        asked = {NONE: await stack.enter_async_context(classifier(None))}
        for name in TIERS:
            asked[name] = await stack.enter_async_context(classifier(datastores[name]))
        figures = []
        first = 0
        for size, count in ROWS.items():
            rates: dict[str, list[float]] = {name: [] for name in asked}
            for _ in range(RUNS):
                rows = numbered(np.arange(first, first + count))
                first += count
                for name, one in asked.items():
                    rates[name].append(await _rate(one, rows, size))
            figures += [_figure(name, size, rates) for name in TIERS]
        return figures


async def _rate(one: Classifier, rows: Rows, size: int) -> float:
    """Rows a second, until all of them are answered and written."""
    requests = iter([rows.take(slice(start, start + size)) for start in range(0, rows.count, size)])
    start = time.perf_counter()
    await asyncio.gather(*(_asking(one, requests) for _ in range(CALLERS)))
    await one.written()
    return rows.count / (time.perf_counter() - start)


async def _asking(one: Classifier, requests: Iterator[Rows]) -> None:
    for rows in requests:
        said = await one.ask(rows)
        if "hit" in said:
            raise RuntimeError(f"rows that were never asked are not all missing: {said}")


def _figure(name: str, size: int, rates: dict[str, list[float]]) -> Figure:
    ours, without = rates[name], rates[NONE]
    more_us = median((1 / mine - 1 / theirs) * 1e6 for mine, theirs in zip(ours, without, strict=True))
    return Figure(
        f"all misses in {name}, {size:,} row{'s' if size > 1 else ''} a request, beside no cache",
        [mine / theirs for mine, theirs in zip(ours, without, strict=True)],
        "as fast",
        beside=f"{number(more_us)} us more a row; no cache: {number(median(without))} rows/s",
        above=GOAL,
    )
