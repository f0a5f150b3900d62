"""Uncached answers a second through 32 connections, beside a bare aiohttp handler that gives the same bytes.

The model that adds takes microseconds, so its figure is that of serving; the classifier is an everyday model.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from statistics import median

from benchmarks.figure import Figure, compared, number
from benchmarks.load import CONNECTIONS, Load, generator, requests_per_second
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
    ours: dict[str, list[float]] = {name: [] for name in (*COMPARED, *ALONE)}
    bare: dict[str, list[float]] = {name: [] for name in COMPARED}
    with tempfile.TemporaryDirectory() as folder, mlserve(http_config(Path(folder)), core) as server:
        port = free_port()
        command = [sys.executable, "-m", "benchmarks.bare_http", str(port)]
        with running(command, port, "/", core, stdin=server.ask(f"{TINY}?x=1.5")):
            for _ in range(RUNS):
                for name, load in COMPARED.items():
                    ours[name].append(requests_per_second(server.port, load, seconds=SECONDS))
                    bare[name].append(requests_per_second(port, load, seconds=SECONDS))
                for name, load in ALONE.items():
                    ours[name].append(requests_per_second(server.port, load, seconds=SECONDS))
    return [
        Figure(
            f"HTTP {name}, {CONNECTIONS} connections ({generator()})",
            ours[name],
            "req/s",
            beside=_beside(ours[name], bare[name]) if name in bare else "",
        )
        for name in ours
    ]


def _beside(ours: list[float], bare: list[float]) -> str:
    return f"{number(compared(ours, bare))} of bare aiohttp, {number(median(bare))} req/s"
