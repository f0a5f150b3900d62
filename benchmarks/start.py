"""From the command to ``/readyz`` 200, with one ONNX model."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from benchmarks.figure import Figure
from benchmarks.process import mlserve
from benchmarks.workload import penguins_config

RUNS = 5


def measure() -> list[Figure]:
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        config = penguins_config(Path(folder))
        for _ in range(RUNS):
            start = time.perf_counter()
            with mlserve(config):
                seconds.append(time.perf_counter() - start)
    return [Figure("start to ready, one ONNX model", seconds, "s", below=2)]
