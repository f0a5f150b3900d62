"""What a hit costs in each tier of cache, from canonical rows and keys to answers ready to be written."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from statistics import median
from typing import Final

import numpy as np
from redis import asyncio as redis_py

from benchmarks.cached_classifier import LMDB, REDIS, TIERS, Classifier, classifier, numbered, places, redis
from benchmarks.figure import Figure, number
from mlserve.commands.loop import run
from mlserve.types import Rows
from tests.support.redis_server import RedisServer

RUNS: Final = 7
CALLS: Final = {1: 400, 100: 60, 1_000: 15}
"""By the rows of a request: how many requests a run makes to a tier."""
ROWS: Final = 2_000
SIZE_MB: Final = 64
LMDB_GOAL_US: Final = 30.0
REDIS_GOAL: Final = 1.5
"""Times as long as redis-py takes for the entry alone."""

Call = Callable[[], Awaitable[object]]


def measure() -> list[Figure]:
    return run(_measure())


async def _measure() -> list[Figure]:
    async with AsyncExitStack() as stack:
        server = stack.enter_context(redis())
        datastores = stack.enter_context(places(SIZE_MB, server))
        rows = numbered(np.arange(ROWS))
        asked = {name: await stack.enter_async_context(classifier(datastores[name])) for name in TIERS}
        for one in asked.values():
            await one.fill(rows)
            await _only_hits(one, rows)
        plain = await stack.enter_async_context(redis_py.Redis(port=server.port))
        bare = _bare_get(plain, server)
        figures = []
        for size in CALLS:
            calls = {name: _in_turn(one, _requests(rows, size)) for name, one in asked.items()}
            found = await _timed(calls | ({"bare": bare} if size == 1 else {}), CALLS[size])
            theirs = found.pop("bare", None)
            figures += [_figure(name, size, runs) for name, runs in found.items()]
            if theirs is not None:
                figures.append(_beside_redis_py(found[REDIS], theirs))
        return [*figures, await _round_trips(asked[REDIS], rows.take(range(1_000)), server)]


async def _only_hits(one: Classifier, rows: Rows) -> None:
    """Raises :class:`RuntimeError` unless the tier has all ``rows``: else a model would be measured."""
    said = await one.ask(rows)
    if "miss" in said:
        raise RuntimeError(f"not all of {rows.count} rows are there: {said}")


def _requests(rows: Rows, size: int) -> list[Rows]:
    return [rows.take(slice(start, start + size)) for start in range(0, rows.count, size)]


def _in_turn(one: Classifier, requests: list[Rows]) -> Call:
    def endless() -> Iterator[Rows]:
        while True:
            yield from requests

    source = endless()
    return lambda: one.ask(next(source))


def _bare_get(client: redis_py.Redis, server: RedisServer) -> Call:
    """Any one of the entries."""
    name = server.client.randomkey()
    return lambda: client.get(name)


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


def _figure(name: str, size: int, runs: list[list[float]]) -> Figure:
    together = sorted(microseconds for took in runs for microseconds in took)
    return Figure(
        f"hit in {name}, {size:,} row{'s' if size > 1 else ''}, p50",
        [median(took) for took in runs],
        "us",
        below=LMDB_GOAL_US if (name, size) == (LMDB, 1) else None,
        beside=f"p99: {number(together[len(together) * 99 // 100])} us",
    )


def _beside_redis_py(ours: list[list[float]], theirs: list[list[float]]) -> Figure:
    mine, other = [median(took) for took in ours], [median(took) for took in theirs]
    ratios = [one / another for one, another in zip(mine, other, strict=True)]
    beside = f"redis-py: {number(median(other))} us"
    return Figure("hit in Redis, 1 row, beside a get by redis-py", ratios, "times", REDIS_GOAL, beside)


async def _round_trips(one: Classifier, rows: Rows, server: RedisServer) -> Figure:
    """What the server says it was asked."""
    server.client.config_resetstat()
    await _only_hits(one, rows)
    asked = server.client.info("commandstats")
    calls = {name.removeprefix("cmdstat_"): said["calls"] for name, said in asked.items() if "config" not in name}
    beside = ", ".join(f"{count} {name}" for name, count in sorted(calls.items()))
    return Figure(f"commands to Redis for {rows.count:,} rows", [sum(calls.values())], "", 2, beside)
