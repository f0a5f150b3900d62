"""What caches cost when nothing is ever found in them: rows a second, beside the same model without."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack
from statistics import median
from typing import Final

import numpy as np

from benchmarks.cached_model import CALLERS, CachedModel, assembled
from benchmarks.figure import Figure, number
from benchmarks.numbered_rows import CLASSIFIER, SLOW, Kind
from benchmarks.tier_stores import TIERS, datastores
from mlserve.commands.loop import run
from mlserve.types import Rows
from tests.support.redis_server import redis_server

RUNS: Final = 5
ROWS: Final = ((CLASSIFIER, 1, 2_000), (CLASSIFIER, 100, 10_000), (SLOW, 1, 320))
"""Model, rows of a request, rows of a run."""
SIZE_MB: Final = 128
NONE: Final = "no cache"
GOAL: Final = 0.9


def measure() -> list[Figure]:
    return [figure for kind, size, count in ROWS for figure in run(_of_model(kind, size, count))]


async def _of_model(kind: Kind, size: int, count: int) -> list[Figure]:
    async with AsyncExitStack() as stack:
        configured = stack.enter_context(datastores(SIZE_MB, stack.enter_context(redis_server())))
        asked = {NONE: await stack.enter_async_context(assembled(kind, None))}
        for name in TIERS:
            asked[name] = await stack.enter_async_context(assembled(kind, configured[name]))
        rates: dict[str, list[float]] = {name: [] for name in asked}
        for turn in range(RUNS):
            rows = kind.rows(np.arange(turn * count, (turn + 1) * count))
            for name, one in asked.items():
                rates[name].append(await _rate(one, rows, size))
        return [_figure(kind, name, size, rates) for name in TIERS]


async def _rate(one: CachedModel, rows: Rows, size: int) -> float:
    """Rows a second, until all of them are answered and written. Raises :class:`RuntimeError` for a hit."""
    requests = [rows.take(slice(start, start + size)) for start in range(0, rows.count, size)]
    start = time.perf_counter()
    said = await one.ask_all(requests)
    await one.written()
    took = time.perf_counter() - start
    if any("hit" in text or ("detail" in text and f"miss={size}" not in text) for text in said):
        raise RuntimeError(f"rows that were never asked are not all missing: {said}")
    return rows.count / took


def _figure(kind: Kind, name: str, size: int, rates: dict[str, list[float]]) -> Figure:
    ours, without = rates[name], rates[NONE]
    more_us = median((1 / mine - 1 / theirs) * 1e6 for mine, theirs in zip(ours, without, strict=True))
    return Figure(
        f"only misses in {name}, {kind.name}, {CALLERS} requests of {size:,} row{'s' if size > 1 else ''}",
        [mine / theirs for mine, theirs in zip(ours, without, strict=True)],
        "as fast",
        beside=f"{number(more_us)} us more a row; no cache: {number(median(without))} rows/s",
        above=GOAL,
    )
