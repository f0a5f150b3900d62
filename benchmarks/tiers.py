"""What a hit costs in each tier of cache, from canonical rows and keys to answers ready to be written."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from itertools import cycle
from statistics import median
from typing import Final

import numpy as np
from redis import asyncio as redis_py

from benchmarks.cached_model import CALLERS, CachedModel, assembled
from benchmarks.figure import Figure, number
from benchmarks.numbered_rows import ADDER, CLASSIFIER, Kind
from benchmarks.tier_stores import LMDB, REDIS, TIERS, datastores
from mlserve.commands.loop import run
from mlserve.types import Rows
from tests.support.redis_server import RedisServer, redis_server

RUNS: Final = 7
CALLS: Final = {1: 400, 100: 60, 1_000: 15}
"""By the rows of a request: how many requests a run makes to a tier."""
ROWS: Final = 2_000
SIZE_MB: Final = 64
LMDB_GOAL_US: Final = 30.0
REDIS_GOAL: Final = 1.5
"""Times what redis-py needs to get the entry alone."""

Call = Callable[[], Awaitable[object]]


def measure() -> list[Figure]:
    return run(_of_model(CLASSIFIER, CALLS)) + run(_of_model(ADDER, {1: CALLS[1]}))


async def _of_model(kind: Kind, calls: dict[int, int]) -> list[Figure]:
    async with AsyncExitStack() as stack:
        server = stack.enter_context(redis_server())
        configured = stack.enter_context(datastores(SIZE_MB, server))
        rows = kind.rows(np.arange(ROWS))
        asked = {name: await stack.enter_async_context(assembled(kind, configured[name])) for name in TIERS}
        for one in asked.values():
            await one.fill(rows)
            await _only_hits(one, rows)
        bare = await stack.enter_async_context(redis_py.Redis(port=server.port))
        figures = []
        for size, count in calls.items():
            figures += await _hits(kind, asked, _requests(rows, size), count)
        figures += await _beside_redis_py(kind, asked[REDIS], _requests(rows, 1), bare)
        if max(calls) > 1:
            figures.append(await _round_trips(asked[REDIS], rows.take(range(max(calls))), server))
        return figures


async def _only_hits(one: CachedModel, rows: Rows) -> None:
    """Raises :class:`RuntimeError` unless the tier has all ``rows``: else a model would be measured."""
    said = await one.ask(rows)
    if "miss" in said:
        raise RuntimeError(f"not all of {rows.count} rows are there: {said}")


def _requests(rows: Rows, size: int) -> list[Rows]:
    return [rows.take(slice(start, start + size)) for start in range(0, rows.count, size)]


async def _hits(kind: Kind, asked: dict[str, CachedModel], requests: list[Rows], count: int) -> list[Figure]:
    size = requests[0].count
    calls = {name: _in_turn(one, requests) for name, one in asked.items()}
    figures = []
    for name, runs in (await _timed(calls, count)).items():
        together = sorted(microseconds for took in runs for microseconds in took)
        figures.append(
            Figure(
                f"hit in {name}, {kind.name}, {size:,} row{'s' if size > 1 else ''}, p50",
                [median(took) for took in runs],
                "us",
                below=LMDB_GOAL_US if (name, size) == (LMDB, 1) else None,
                beside=f"p99: {number(together[len(together) * 99 // 100])} us",
            )
        )
    return figures


def _in_turn(one: CachedModel, requests: list[Rows]) -> Call:
    source = cycle(requests)
    return lambda: one.ask(next(source))


async def _timed(calls: dict[str, Call], count: int) -> dict[str, list[list[float]]]:
    """Microseconds of every call, run by run; calls take turns in each."""
    found: dict[str, list[list[float]]] = {name: [] for name in calls}
    for _ in range(RUNS):
        for name, call in calls.items():
            took = []
            for _ in range(count):
                start = time.perf_counter()
                await call()
                took.append((time.perf_counter() - start) * 1e6)
            found[name].append(took)
    return found


async def _beside_redis_py(kind: Kind, one: CachedModel, requests: list[Rows], bare: redis_py.Redis) -> list[Figure]:
    """By the wait of a single caller, and by our processor time for each of many at once."""
    name = await bare.randomkey()
    ours, theirs = "ours", "theirs"
    waits = await _timed({ours: _in_turn(one, requests), theirs: lambda: bare.get(name)}, CALLS[1])
    medians = {whose: [median(took) for took in runs] for whose, runs in waits.items()}
    spent: dict[str, list[float]] = {ours: [], theirs: []}
    for _ in range(RUNS):
        spent[ours].append(await _cpu_us(one.ask_all(requests), len(requests)))
        spent[theirs].append(await _cpu_us(_get_all(bare, name, len(requests)), len(requests)))
    return [
        Figure(
            f"hit in Redis, {kind.name}, beside redis-py's get, {how}",
            [mine / other for mine, other in zip(found[ours], found[theirs], strict=True)],
            "times",
            below=REDIS_GOAL,
            beside=f"{number(median(found[ours]))} us, redis-py: {number(median(found[theirs]))} us",
        )
        for how, found in (("one caller, p50", medians), (f"{CALLERS} callers, CPU", spent))
    ]


async def _get_all(bare: redis_py.Redis, name: bytes, count: int) -> None:
    left = iter(range(count))

    async def caller() -> None:
        for _ in left:
            await bare.get(name)

    await asyncio.gather(*(caller() for _ in range(CALLERS)))


async def _cpu_us(work: Awaitable[object], count: int) -> float:
    """Processor time of this process for each of ``count``."""
    start = time.process_time()
    await work
    return (time.process_time() - start) / count * 1e6


async def _round_trips(one: CachedModel, rows: Rows, server: RedisServer) -> Figure:
    """What the server says it was asked."""
    server.client.config_resetstat()
    await _only_hits(one, rows)
    asked = server.client.info("commandstats")
    calls = {name.removeprefix("cmdstat_"): said["calls"] for name, said in asked.items() if "config" not in name}
    beside = ", ".join(f"{count} {name}" for name, count in sorted(calls.items()))
    return Figure(f"commands to Redis for {rows.count:,} rows", [sum(calls.values())], "", 2, beside)
