"""What caches cost when nothing is ever found in them: rows a second, beside the same model without."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
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
SIZE_MB: Final = 128
NONE: Final = "no cache"
GOAL: Final = 0.9


@dataclass(frozen=True, slots=True)
class Spent:
    """Seconds for each row, and those of processor time, in which other processes and their waits do not count."""

    wall_s: float
    cpu_s: float


@dataclass(frozen=True, slots=True)
class Load:
    """:data:`CALLERS` ask ``rows`` in a run, ``size`` in each request."""

    kind: Kind
    size: int
    rows: int

    def __str__(self) -> str:
        return f"{self.kind.name}, {CALLERS} requests of {self.size:,} row{'s' if self.size > 1 else ''}"


LOADS: Final = (
    Load(CLASSIFIER, 1, 2_000),
    Load(CLASSIFIER, 100, 10_000),
    Load(SLOW, 1, 320),
)


def measure() -> list[Figure]:
    return [figure for load in LOADS for figure in run(_of_load(load))]


async def _of_load(load: Load) -> list[Figure]:
    async with AsyncExitStack() as stack:
        configured = stack.enter_context(datastores(SIZE_MB, stack.enter_context(redis_server())))
        asked = {NONE: await stack.enter_async_context(assembled(load.kind, None))}
        for name in TIERS:
            asked[name] = await stack.enter_async_context(assembled(load.kind, configured[name]))
        spent: dict[str, list[Spent]] = {name: [] for name in asked}
        for turn in range(RUNS):
            rows = load.kind.rows(np.arange(turn * load.rows, (turn + 1) * load.rows))
            for name, one in asked.items():
                spent[name].append(await _spent(one, rows, load))
        return [_figure(load, name, spent[name], spent[NONE]) for name in TIERS]


async def _spent(one: CachedModel, rows: Rows, load: Load) -> Spent:
    """Until all of ``rows`` are answered and written. Raises :class:`RuntimeError` for a hit."""
    size = load.size
    requests = [rows.take(slice(start, start + size)) for start in range(0, rows.count, size)]
    start, cpu_start = time.perf_counter(), time.process_time()
    said = await one.ask_all(requests)
    await one.written()
    spent = Spent((time.perf_counter() - start) / rows.count, (time.process_time() - cpu_start) / rows.count)
    if any("hit" in text or ("detail" in text and f"miss={size}" not in text) for text in said):
        raise RuntimeError(f"rows that were never asked are not all missing: {said}")
    return spent


def _figure(load: Load, name: str, ours: Sequence[Spent], without: Sequence[Spent]) -> Figure:
    more_us = median((mine.cpu_s - theirs.cpu_s) * 1e6 for mine, theirs in zip(ours, without, strict=True))
    rate = median(1 / spent.wall_s for spent in without)
    return Figure(
        f"only misses in {name}, {load}",
        [theirs.wall_s / mine.wall_s for mine, theirs in zip(ours, without, strict=True)],
        "as fast",
        beside=f"{number(more_us)} us more CPU a row; no cache: {number(rate)} rows/s",
        above=GOAL,
    )
