"""Uncached answers a second through 32 connections, beside a bare aiohttp handler that gives the same bytes.

The model that adds takes microseconds, so its figure is that of serving; the classifier is an everyday model.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from benchmarks.figure import Figure, compared, number
from benchmarks.load import CONNECTIONS, Load, Rate, generator, rate_of
from benchmarks.machine import server_core
from benchmarks.process import free_port, mlserve, running
from benchmarks.workload import ASKED, PENGUIN, TINY, body, http_config, penguin_query

RUNS = 3
SECONDS = 1.0
COMPARED = {
    "GET, a model that adds": Load(f"{TINY}?x=1.5"),
    "POST, a model that adds": Load(TINY, body({"x": 1.5})),
}
ALONE = {
    "GET, the penguin classifier": Load(penguin_query()),
    "POST, the penguin classifier": Load(ASKED, body(PENGUIN)),
}


def measure() -> list[Figure]:
    core = server_core()
    ours: dict[str, list[Rate]] = {name: [] for name in (*COMPARED, *ALONE)}
    bare: dict[str, list[Rate]] = {name: [] for name in COMPARED}
    with tempfile.TemporaryDirectory() as folder, mlserve(http_config(Path(folder)), core) as server:
        port = free_port()
        command = [sys.executable, "-m", "benchmarks.bare_http", str(port)]
        with running(command, port, "/", core, stdin=server.ask(f"{TINY}?x=1.5")) as other:
            for _ in range(RUNS):
                for name, load in COMPARED.items():
                    ours[name].append(rate_of(server, load, seconds=SECONDS))
                    bare[name].append(rate_of(other, load, seconds=SECONDS))
                for name, load in ALONE.items():
                    ours[name].append(rate_of(server, load, seconds=SECONDS))
    return [
        Figure(
            f"HTTP {name}, {CONNECTIONS} connections ({generator()})",
            [rate.per_second for rate in rates],
            "req/s",
            beside=_beside(rates, bare.get(name, [])),
        )
        for name, rates in ours.items()
    ]


def _beside(ours: Sequence[Rate], bare: Sequence[Rate]) -> str:
    cpu_us = [rate.cpu_us for rate in ours]
    text = f"{number(median(cpu_us))} us of CPU each"
    if bare:
        bare_us = [rate.cpu_us for rate in bare]
        speed = compared(bare_us, cpu_us)
        text += f", bare aiohttp {number(median(bare_us))}: {number(speed)} as fast"
    return text
