"""Rows a second in requests of 1,000 rows, of which so many were asked before and the others never.

Requests come in turn, 64 of them: by the time one comes again, rows that only it asks for have left the small memory
tier. Where nothing is known the cache costs most, and where half is known it computes half as much.
"""

from __future__ import annotations

import http.client
import re
import tempfile
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import Final

import psutil

from benchmarks.figure import Figure, number
from benchmarks.load import Load
from benchmarks.machine import server_core
from benchmarks.peers.workload import INPUT, rows_of, write_model
from benchmarks.process import Server, mlserve
from benchmarks.workload import body
from benchmarks.wrk import ask, in_turn, provide_wrk

RUNS: Final = 5
SECONDS: Final = 1
ROWS: Final = 1_000
REQUESTS: Final = 64
CONNECTIONS: Final = 4
KNOWN: Final = (0, 500, 900, 1_000)
CACHED: Final = "/v1/api/model/cached/eval"
PLAIN: Final = "/v1/api/model/plain/eval"


def measure() -> list[Figure]:
    provide_wrk()
    with tempfile.TemporaryDirectory() as folder:
        network, config = Path(folder) / "vectors.onnx", Path(folder) / "mixed.yaml"
        write_model(network)
        config.write_text(
            "Datastores: [{ID: small, Cache: {SizeMB: 1}}]\n"
            f"Models: [{{ID: cached, URL: '{network}', DataStore: small}}, {{ID: plain, URL: '{network}'}}]\n",
            encoding="utf-8",
        )
        with mlserve(config, server_core()) as server:
            asked = {f"{known:,} known": (_requests(CACHED, known), known) for known in KNOWN}
            asked["no cache"] = (_requests(PLAIN, 0), None)
            rates: dict[str, list[tuple[float, float]]] = {name: [] for name in asked}
            for _ in range(RUNS):
                for name, (requests, known) in asked.items():
                    rates[name].append(_rate(server, requests[1:]))
                    _check(server, requests[0], known)
    return [
        Figure(
            f"POST of {ROWS:,} vectors of four, {name}, {CONNECTIONS} connections (wrk)",
            [per_second for per_second, _ in measured],
            "rows/s",
            beside=f"{number(median(cpu_us for _, cpu_us in measured))} us of processor time each",
        )
        for name, measured in rates.items()
    ]


def _requests(path: str, known: int) -> list[bytes]:
    """Each begins with the same ``known`` rows. The first is not for the load: it checks what is known after it."""
    common = rows_of(0, ROWS)[:known].tolist()
    texts = []
    for turn in range(1, REQUESTS + 2):
        own = rows_of(turn, ROWS)[known:].tolist()
        values = [[round(value, 2) for value in row] for row in common]
        values += [[round(value + turn / 1000, 4) for value in row] for row in own]
        texts.append(Load(path, body({"batch_size": ROWS, INPUT: values})).wire())
    return texts


def _rate(server: Server, requests: list[bytes]) -> tuple[float, float]:
    """Rows a second, and microseconds of processor for a request."""
    process = psutil.Process(server.pid)
    before = sum(process.cpu_times()[:2])
    answered = ask(server.port, in_turn(requests), connections=CONNECTIONS, seconds=SECONDS)
    used_s = sum(process.cpu_times()[:2]) - before
    return answered.answers / answered.seconds * ROWS, used_s / answered.answers * 1e6


def _check(server: Server, request: bytes, known: int | None) -> None:
    """Raises :class:`RuntimeError` unless as many rows are known as should be."""
    head, _, text = request.partition(b"\r\n\r\n")
    path = head.split()[1].decode()
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)) as connection:
        connection.request("POST", path, text)
        response = connection.getresponse()
        response.read()
    status = response.headers.get("Cache-Status", "")
    found = re.search(r"memory=(\d+)", status)
    if response.status != 200 or known != (None if found is None else int(found[1])):
        raise RuntimeError(f"{path} with {known} known rows: {response.status} {status!r}")
