"""What the client itself costs: a row that it has, in the same words and in others, and a batch that it has in part.

The server is a function in the same process, so no network is in the figures.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from benchmarks.figure import Figure
from mlserve.client import AsyncClient
from mlserve.client.testing import FakeModel, FakeServer

RUNS = 5
SECONDS = 0.5
ROWS = 1_000
MANY = 10_000
"""More than are remembered word by word."""
ROW = {"country": "us", "site": "a.com", "age": 30, "price": 1.23}
INPUTS = {"price": "float32", "age": "int64", "country": "string", "site": "string"}


def measure() -> list[Figure]:
    return asyncio.run(_measure())


async def _measure() -> list[Figure]:
    server = FakeServer({"ctr": FakeModel(_scores, INPUTS, {"score": "float32"}, size_mb=256)})
    async with AsyncClient("http://fake", transport=server.transport) as client:
        same = await _microseconds(lambda _: client.eval("ctr", **ROW))
        await client.eval("ctr", ROW | {"age": list(range(MANY))})
        others = await _microseconds(lambda call: client.eval("ctr", ROW | {"age": call % MANY}))
        partly = await _microseconds(lambda call: client.eval("ctr", ROW | {"age": _ages(call)}))
        wholly = await _microseconds(lambda _: client.eval("ctr", ROW | {"age": list(range(ROWS))}))
    return [
        Figure("client: a row that it has, in the same words", same, "us", below=10),
        Figure("client: a row that it has, by its key", others, "us"),
        Figure(f"client: {ROWS:,} rows, of which it has 90 %", [run / 1000 for run in partly], "ms"),
        Figure(f"client: {ROWS:,} rows, of which it has all", [run / 1000 for run in wholly], "ms"),
    ]


def _ages(call: int) -> list[int]:
    """Nine tenths as always, the others never asked before."""
    known = ROWS * 9 // 10
    first = ROWS * (call + 1)
    return [*range(known), *range(first, first + ROWS - known)]


def _scores(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"score": row["price"] * row["age"]} for row in rows]


async def _microseconds(ask: Callable[[int], Awaitable[Any]]) -> list[float]:
    """Per call, each run. ``ask`` is given the number of the call."""
    runs = []
    calls = 0
    for _ in range(RUNS):
        first, start = calls, time.perf_counter()
        while (passed := time.perf_counter() - start) < SECONDS:
            await ask(calls)
            calls += 1
        runs.append(passed / (calls - first) * 1e6)
    return runs
