"""What metrics and a sampled access log add to an answer from memory, in processor time.

The whole answer is measured over HTTP. What is added is a fraction of a microsecond, far below what two runs of a
server differ by: so the very calls that an answer makes are timed alone, by the hundred thousand, in a process of
their own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import redirect_stderr
from pathlib import Path
from statistics import median
from time import process_time

from benchmarks.figure import Figure, number
from benchmarks.load import Load, rate_of
from benchmarks.machine import pin, server_core
from benchmarks.process import mlserve
from benchmarks.workload import CACHED, http_config
from mlserve.observe.access import AccessLog
from mlserve.observe.logs import configure_logging
from mlserve.observe.metrics import Metrics

RUNS = 5
CALLS = 100_000
SECONDS = 1.0
SHARE = 0.01


def measure() -> list[Figure]:
    core = server_core()
    with tempfile.TemporaryDirectory() as folder, mlserve(http_config(Path(folder)), core) as server:
        whole = [rate_of(server, Load(f"{CACHED}?x=1.5"), seconds=SECONDS).cpu_us for _ in range(RUNS)]
    done = subprocess.run([sys.executable, "-m", "benchmarks.observe"], check=True, capture_output=True, text=True)
    found: dict[str, list[float]] = json.loads(done.stdout)
    goals = {"metrics": 3.0, "an access log of 1 %": 3.0}
    return [
        Figure(
            f"{name}, of an answer from memory",
            [100 * microseconds / median(whole) for microseconds in times],
            "%",
            below=goals.get(name),
            beside=f"{number(median(times))} us of {number(median(whole))} us of CPU",
        )
        for name, times in found.items()
    ]


def _calls() -> dict[str, list[float]]:
    """Microseconds of each kind of call, without the loop around it, run after run."""
    metrics = Metrics()
    model = metrics.model("cached")
    sampled, everything = AccessLog("sampled", SHARE), AccessLog("all", SHARE)

    def nothing() -> None: ...

    def count() -> None:
        model.rows.inc(1)
        model.observe_lookup("memory", "hit", 1)
        metrics.request("cached", "eval", 200, 3e-5)

    def log(access: AccessLog) -> None:
        if access.picks():
            access.write(peer="127.0.0.1", method="GET", path=CACHED, status=200, seconds=3e-5, size=100, request_id="")

    kinds: dict[str, Callable[[], None]] = {
        "metrics": count,
        "an access log of 1 %": lambda: log(sampled),
        "an access log of all": lambda: log(everything),
    }
    found: dict[str, list[float]] = {name: [] for name in kinds}
    for _ in range(RUNS):
        loop = _time(nothing)
        for name, call in kinds.items():
            found[name].append(_time(call) - loop)
    return found


def _time(call: Callable[[], None]) -> float:
    start = process_time()
    for _ in range(CALLS):
        call()
    return (process_time() - start) / CALLS * 1e6


if __name__ == "__main__":
    pin(os.getpid(), server_core())
    with open(os.devnull, "w", encoding="utf-8") as nowhere, redirect_stderr(nowhere):
        configure_logging("text", "info")
        times = _calls()
    print(json.dumps(times))
