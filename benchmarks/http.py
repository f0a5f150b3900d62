"""Answers a second through 32 connections, beside a bare aiohttp handler that gives the same bytes.

Hits also stand beside a bare asyncio protocol, which reads nothing and counts nothing: no Python server does less.

The model that adds takes microseconds, so its figure is that of serving; the classifier is an everyday model. Servers
take turns and are compared by processor time for each answer, which neighbours on the machine do not change.
"""

from __future__ import annotations

import socket
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from benchmarks.figure import Figure, number
from benchmarks.load import CONNECTIONS, Load, Rate, generator, rate_of
from benchmarks.machine import server_core
from benchmarks.process import Server, free_port, mlserve, running
from benchmarks.workload import ASKED, CACHED, PENGUIN, TINY, body, http_config, penguin_query

RUNS = 3
SECONDS = 1.0
COMPARED = {
    "GET, from memory": Load(f"{CACHED}?x=1.5"),
    "POST, from memory": Load(CACHED, body({"x": 1.5})),
    "GET, a model that adds": Load(f"{TINY}?x=1.5"),
    "POST, a model that adds": Load(TINY, body({"x": 1.5})),
}
GOALS = {"GET, from memory": 0.65, "POST, from memory": 0.65, "POST, a model that adds": 0.4}
"""How fast beside the bare handler, same verb."""
HITS = {name: load for name, load in COMPARED.items() if name.endswith("from memory")}
ALONE = {
    "GET, the penguin classifier": Load(penguin_query()),
    "POST, the penguin classifier": Load(ASKED, body(PENGUIN)),
}


def measure() -> list[Figure]:
    core = server_core()
    ours: dict[str, list[Rate]] = {name: [] for name in (*COMPARED, *ALONE)}
    bare: dict[str, list[Rate]] = {name: [] for name in COMPARED}
    least: dict[str, list[Rate]] = {name: [] for name in HITS}
    with tempfile.TemporaryDirectory() as folder, mlserve(http_config(Path(folder)), core) as server:
        port, least_port = free_port(), free_port()
        command = [sys.executable, "-m", "benchmarks.bare_http", str(port)]
        least_command = [sys.executable, "-m", "benchmarks.bare_protocol", str(least_port)]
        with (
            running(command, port, "/", core, stdin=server.ask(f"{TINY}?x=1.5")) as other,
            running(least_command, least_port, "/", core, stdin=_whole_hit(server)) as protocol,
        ):
            for _ in range(RUNS):
                for name, load in COMPARED.items():
                    ours[name].append(rate_of(server, load, seconds=SECONDS))
                    bare[name].append(rate_of(other, load, seconds=SECONDS))
                for name, load in HITS.items():
                    least[name].append(rate_of(protocol, load, seconds=SECONDS))
                for name, load in ALONE.items():
                    ours[name].append(rate_of(server, load, seconds=SECONDS))
    figures = [
        Figure(
            f"HTTP {name}, {CONNECTIONS} connections ({generator()})",
            [rate.per_second for rate in rates],
            "req/s",
            beside=f"{number(median(rate.cpu_us for rate in rates))} us of CPU each",
        )
        for name, rates in ours.items()
    ]
    figures += [_share(name, ours[name], rates, "aiohttp", GOALS.get(name)) for name, rates in bare.items()]
    return figures + [_share(name, ours[name], rates, "asyncio") for name, rates in least.items()]


def _share(name: str, ours: Sequence[Rate], bare: Sequence[Rate], what: str, goal: float | None = None) -> Figure:
    ratios = [theirs.cpu_us / mine.cpu_us for mine, theirs in zip(ours, bare, strict=True)]
    beside = f"bare {what}: {number(median(rate.cpu_us for rate in bare))} us of CPU each"
    return Figure(f"HTTP {name}, beside bare {what}", ratios, "as fast", beside=beside, above=goal)


def _whole_hit(server: Server) -> bytes:
    """Head and body of an answer from memory."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        for _ in range(3):
            connection.sendall(HITS["GET, from memory"].wire())
            answer = connection.recv(65536)
    return answer
