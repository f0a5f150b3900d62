"""Rows a second in requests of 1,000 different rows, beside onnxruntime called with the arrays ready."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import onnxruntime

from benchmarks.figure import Figure, compared, number
from benchmarks.load import Load, rate_of
from benchmarks.machine import server_core
from benchmarks.process import PENGUINS, mlserve
from benchmarks.workload import ASKED, body, penguin_columns, penguins_config

RUNS = 3
SECONDS = 1.0
ROWS = 1_000
CONNECTIONS = 4
TYPES = {"tensor(string)": object, "tensor(float)": np.float32, "tensor(int64)": np.int64}


def measure() -> list[Figure]:
    columns = penguin_columns(ROWS)
    load = Load(ASKED, body({"batch_size": ROWS, **columns}))
    session = _session()
    arrays = {node.name: np.array(columns[node.name], TYPES[node.type]).reshape(-1, 1) for node in session.get_inputs()}
    served, direct = [], []
    with tempfile.TemporaryDirectory() as folder, mlserve(penguins_config(Path(folder)), server_core()) as server:
        for _ in range(RUNS):
            rate = rate_of(server, load, seconds=SECONDS, connections=CONNECTIONS)
            served.append(rate.per_second * ROWS)
            direct.append(_rows_per_second(session, arrays))
    return [
        Figure(
            f"POST of {ROWS:,} different rows, the penguin classifier, {CONNECTIONS} connections",
            served,
            "rows/s",
            beside=f"{number(compared(served, direct))} of onnxruntime alone, {number(median(direct))} rows/s",
        )
    ]


def _session() -> Any:
    """As the server makes it: one thread."""
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = settings.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(PENGUINS), settings, providers=["CPUExecutionProvider"])


def _rows_per_second(session: Any, arrays: dict[str, Any]) -> float:
    runs, start = 0, time.perf_counter()
    while (passed := time.perf_counter() - start) < SECONDS:
        session.run(None, arrays)
        runs += 1
    return runs * ROWS / passed
