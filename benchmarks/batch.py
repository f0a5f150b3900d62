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
from benchmarks.peers.workload import INPUT, rows_of, write_model
from benchmarks.process import PENGUINS, Server, mlserve
from benchmarks.workload import ASKED, body, penguin_columns

RUNS = 3
SECONDS = 1.0
ROWS = 1_000
CONNECTIONS = 4
TYPES = {"tensor(string)": object, "tensor(float)": np.float32, "tensor(int64)": np.int64}
VECTORS = "/v1/api/model/vectors/eval"


def measure() -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        network, config = Path(folder) / "vectors.onnx", Path(folder) / "batch.yaml"
        write_model(network)
        config.write_text(
            f"Models: [{{ID: penguins, URL: '{PENGUINS}'}}, {{ID: vectors, URL: '{network}'}}]\n", encoding="utf-8"
        )
        with mlserve(config, server_core()) as server:
            return [_penguins(server), _vectors(server, network)]


def _penguins(server: Server) -> Figure:
    columns = penguin_columns(ROWS)
    session = _session(PENGUINS)
    arrays = {node.name: np.array(columns[node.name], TYPES[node.type]).reshape(-1, 1) for node in session.get_inputs()}
    load = Load(ASKED, body({"batch_size": ROWS, **columns}))
    return _figure("different rows, the penguin classifier", server, load, session, arrays)


def _vectors(server: Server, network: Path) -> Figure:
    vectors = rows_of(0, ROWS)
    values = [[round(value, 2) for value in row] for row in vectors.tolist()]
    load = Load(VECTORS, body({"batch_size": ROWS, INPUT: values}))
    return _figure("vectors of four, a small network", server, load, _session(network), {INPUT: vectors})


def _figure(what: str, server: Server, load: Load, session: Any, arrays: dict[str, Any]) -> Figure:
    served, direct, cpu = [], [], []
    for _ in range(RUNS):
        rate = rate_of(server, load, seconds=SECONDS, connections=CONNECTIONS)
        served.append(rate.per_second * ROWS)
        cpu.append(rate.cpu_us)
        direct.append(_rows_per_second(session, arrays))
    return Figure(
        f"POST of {ROWS:,} {what}, {CONNECTIONS} connections",
        served,
        "rows/s",
        beside=(
            f"{number(compared(served, direct))} of onnxruntime alone, {number(median(direct))} rows/s; "
            f"{number(median(cpu))} us of processor time each"
        ),
    )


def _session(model: Path) -> Any:
    """As the server makes it: one thread."""
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = settings.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(model), settings, providers=["CPUExecutionProvider"])


def _rows_per_second(session: Any, arrays: dict[str, Any]) -> float:
    runs, start = 0, time.perf_counter()
    while (passed := time.perf_counter() - start) < SECONDS:
        session.run(None, arrays)
        runs += 1
    return runs * ROWS / passed
