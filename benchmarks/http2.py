"""The same question over HTTP/2 and over HTTP/1.1: one row from memory, by ``h2load``, eighty requests at once.

Compared by processor time for each answer, which neighbours on the machine do not change. ``bare_http2`` is a handler
that only hands out bytes, so its lines are what the carriers cost.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

import psutil

from benchmarks.figure import Figure, compared, number
from benchmarks.http import RUNS
from benchmarks.load import Rate
from benchmarks.machine import load_core, pin, server_core
from benchmarks.process import Server, free_port, mlserve, running
from benchmarks.workload import CACHED, http_config

SECONDS = 2
ASKED = f"{CACHED}?x=1.5"
KINDS = {
    "HTTP/2, 8 connections of 10 streams": ("-c", "8", "-m", "10"),
    "HTTP/2, 80 connections": ("-c", "80", "-m", "1"),
    "HTTP/1.1, 80 connections": ("--h1", "-c", "80"),
}


def measure() -> list[Figure]:
    """Nothing without ``h2load``; stderr says so."""
    if shutil.which("h2load") is None:
        print("http2: not measured, it takes h2load: apt-get install nghttp2-client", file=sys.stderr)
        return []
    core = server_core()
    rates: dict[tuple[str, str], list[Rate]] = {}
    with tempfile.TemporaryDirectory() as folder, mlserve(http_config(Path(folder)), core) as server:
        port = free_port()
        command = [sys.executable, "-m", "benchmarks.bare_http2", str(port)]
        with running(command, port, "/", core, stdin=server.ask(ASKED)) as bare:
            for _ in range(RUNS):
                for what, asked in (("GET, from memory", server), ("GET, a bare handler", bare)):
                    for kind, options in KINDS.items():
                        rates.setdefault((what, kind), []).append(_rate(asked, options))
    figures = [
        Figure(
            f"{kind}: {what} (h2load)",
            [rate.per_second for rate in measured],
            "req/s",
            beside=f"{number(median(rate.cpu_us for rate in measured))} us of CPU each",
        )
        for (what, kind), measured in rates.items()
    ]
    two, _, one = (rates["GET, from memory", kind] for kind in KINDS)
    ratio = compared([rate.cpu_us for rate in one], [rate.cpu_us for rate in two])
    return [*figures, Figure("GET, from memory: HTTP/2 in streams, beside HTTP/1.1", [ratio], "as fast")]


def _rate(server: Server, options: tuple[str, ...]) -> Rate:
    process = psutil.Process(server.pid)
    before = process.cpu_times()
    command = ["h2load", "-D", str(SECONDS), *options, f"http://127.0.0.1:{server.port}{ASKED}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as load:
        pin(load.pid, load_core())
        said, _ = load.communicate(timeout=SECONDS + 30)
    after = process.cpu_times()
    counted = re.search(r"(\d+) succeeded, (\d+) failed", said)
    if counted is None or int(counted[2]):
        raise RuntimeError(said)
    answers = int(counted[1])
    spent = after.user + after.system - before.user - before.system
    return Rate(answers / SECONDS, spent / answers * 1e6)
