"""From the rename that publishes a version to the first answer that it gives."""

from __future__ import annotations

import tempfile
import time
from contextlib import closing
from pathlib import Path

import orjson

from benchmarks.figure import Figure
from benchmarks.process import ask, mlserve
from benchmarks.workload import TINY
from tests.support.versions import publish, write_version

RUNS = 4
WITHIN_S = 10.0


def measure() -> list[Figure]:
    return [
        Figure("publish by rename to first answer", _reloads(""), "s", below=2),
        Figure("the same with a ReadyFile", _reloads(", ReadyFile: _SUCCESS"), "s"),
    ]


def _reloads(setting: str) -> list[float]:
    seconds = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "_SUCCESS").touch()
        for version in range(RUNS + 1):
            write_version(folder / f"{version}.kept", version)
        publish(folder / "0.kept", folder / "tiny.onnx")
        config = folder / "config.yaml"
        config.write_text(f"Models: [{{ID: tiny, URL: tiny.onnx{setting}}}]\n", encoding="utf-8")
        with mlserve(config) as server, closing(server.connect()) as connection:
            for version in range(1, RUNS + 1):
                publish(folder / f"{version}.kept", folder / "tiny.onnx")
                start = time.perf_counter()
                while orjson.loads(ask(connection, f"{TINY}?x=0"))["data"]["a"] != version:
                    if time.perf_counter() - start > WITHIN_S:
                        raise RuntimeError(f"version {version} did not answer within {WITHIN_S:g} s")
                    time.sleep(0.002)
                seconds.append(time.perf_counter() - start)
    return seconds
