"""What the process holds with one ONNX model after 1,000 requests."""

from __future__ import annotations

import tempfile
from contextlib import closing
from pathlib import Path

import psutil

from benchmarks.figure import Figure
from benchmarks.process import ask, mlserve
from benchmarks.workload import ASKED, PENGUIN, body, penguin_query, penguins_config

RUNS = 3
REQUESTS = 1_000


def measure() -> list[Figure]:
    megabytes = []
    with tempfile.TemporaryDirectory() as folder:
        config = penguins_config(Path(folder))
        for _ in range(RUNS):
            with mlserve(config) as server, closing(server.connect()) as connection:
                for _ in range(REQUESTS // 2):
                    ask(connection, penguin_query())
                    ask(connection, ASKED, body(PENGUIN))
                megabytes.append(psutil.Process(server.pid).memory_info().rss / 1e6)
    return [Figure(f"resident memory after {REQUESTS:,} requests, without TensorFlow", megabytes, "MB", below=150)]
