"""What callers feel of a reload of a cached model, with and without the warm-up of the new version.

The model takes two milliseconds for each row. One client asks a thousand rows in turn, as quickly as it is answered,
while the version is replaced. Measured over the second after the first answer of the new version.
"""

from __future__ import annotations

import tempfile
import time
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

import orjson

from benchmarks.figure import Figure
from benchmarks.process import mlserve

RUNS = 3
ROWS = 1000
AFTER_S = 1.0
WITHIN_S = 20.0
_PATH = "/v1/api/model/slow/eval"
_MODEL = """
import time

class Slow:
    signature = {{"inputs": {{"x": "float32[-1]"}}, "outputs": {{"version": "float32[-1]"}}}}

    def predict(self, inputs):
        time.sleep(0.002 * len(inputs["x"]))
        return {{"version": inputs["x"] * 0 + {version}}}
"""


def measure() -> list[Figure]:
    figures = []
    for words, rows in (("warmed", ROWS), ("not warmed", 0)):
        runs = [_reload(rows) for _ in range(RUNS)]
        figures += [
            Figure(f"reload of a cached model, {words}: p99", [p99 for p99, _ in runs], "ms"),
            Figure(f"reload of a cached model, {words}: hits", [hits for _, hits in runs], "%"),
        ]
    return figures


def _reload(warm_rows: int) -> tuple[float, float]:
    """p99 in milliseconds and hits in per cent, of the requests after the swap."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _publish(folder, 1)
        config = folder / "config.yaml"
        config.write_text(
            f"Models: [{{ID: slow, URL: 'python:slow.py:Slow', DataStore: d, Reload: {{WarmRows: {warm_rows}}}}}]\n"
            "Datastores: [{ID: d, Cache: {SizeMB: 8}}]\n",
            encoding="utf-8",
        )
        with mlserve(config) as server, closing(server.connect()) as connection:
            for number in range(ROWS):
                _ask(connection, number)
            _publish(folder, 2)
            return _after_swap(connection)


def _after_swap(connection: HTTPConnection) -> tuple[float, float]:
    start, end = time.perf_counter(), None
    seconds: list[float] = []
    hits = number = 0
    while end is None or time.perf_counter() < end:
        took, hit, version = _ask(connection, number % ROWS)
        number += 1
        if version == 2:
            end = end or time.perf_counter() + AFTER_S
            seconds.append(took)
            hits += hit
        elif time.perf_counter() > start + WITHIN_S:
            raise RuntimeError(f"the new version did not answer within {WITHIN_S:g} s")
    seconds.sort()
    return seconds[len(seconds) * 99 // 100] * 1000, 100 * hits / len(seconds)


def _ask(connection: HTTPConnection, number: int) -> tuple[float, bool, int]:
    start = time.perf_counter()
    connection.request("GET", f"{_PATH}?x={number}")
    response = connection.getresponse()
    body = response.read()
    took = time.perf_counter() - start
    if response.status != 200:
        raise RuntimeError(f"{response.status} {body!r}")
    hit = response.getheader("Cache-Status", "").startswith("memory; hit")
    return took, hit, int(orjson.loads(body)["data"]["version"])


def _publish(folder: Path, version: int) -> None:
    staged = folder / ".slow.py.staged"
    staged.write_text(_MODEL.format(version=version), encoding="utf-8")
    staged.replace(folder / "slow.py")
