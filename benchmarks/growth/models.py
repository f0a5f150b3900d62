"""Models of one server, each in a folder of its own. One of them is asked, and all of them in turn."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from benchmarks.growth.axis import COMPUTED, FLAT, HITS, LINEAR, Axis, Line, Target
from benchmarks.growth.holding import Holding, look_at
from benchmarks.load import Load
from benchmarks.machine import server_core
from benchmarks.process import Server, mlserve
from benchmarks.wrk import in_turn
from tests.support.versions import write_version

COUNTS: Final = (1, 10, 100, 1_000)
ASKED_BEFORE: Final = 3


def models(found: list[Holding]) -> Axis:
    """The axis; what servers with so many models cost before anybody asks goes into ``found``."""

    def open_(stack: ExitStack, folder: Path) -> list[Line]:
        lines = []
        for name, limit, setting in ((HITS, FLAT, ", DataStore: memory"), (COMPUTED, LINEAR, "")):
            own = folder / name  # servers follow their configuration, and files that move
            servers = {
                count: stack.enter_context(_serving(count, own / str(count), setting, found)) for count in COUNTS
            }
            lines.append(Line(name, {count: _asked(server, count) for count, server in servers.items()}, limit))
            one = {count: _asked(server, 1) for count, server in servers.items()}
            lines.append(Line(f"{name}, one model of them", one, limit))
        return lines

    return Axis("models of a server", open_)


def _asked(server: Server, models: int) -> Target:
    paths = [_path(number) for number in range(models)]
    for path in ASKED_BEFORE * paths:
        server.ask(path)
    return Target(server, in_turn([Load(path).wire() for path in paths]))


@contextmanager
def _serving(count: int, folder: Path, setting: str, found: list[Holding]) -> Iterator[Server]:
    _write_models(count, folder)
    entries = "".join(f"  - {{ID: m{number}, URL: m{number}/model.onnx{setting}}}\n" for number in range(count))
    config = folder / "models.yaml"
    config.write_text(f"Models:\n{entries}Datastores: [{{ID: memory, Cache: {{SizeMB: 16}}}}]\n")
    began = time.perf_counter()
    with mlserve(config, server_core()) as server:
        start_s = time.perf_counter() - began
        found.append(look_at(server, count, start_s, _path(0)))
        print(f"{count:,} models serve after {start_s:.1f} s", file=sys.stderr, flush=True)
        yield server


def _write_models(count: int, folder: Path) -> None:
    folder.mkdir(parents=True)
    write_version(folder / "tiny.onnx", 1)
    for number in range(count):
        (folder / f"m{number}").mkdir()
        os.link(folder / "tiny.onnx", folder / f"m{number}" / "model.onnx")


def _path(number: int) -> str:
    return f"/v1/api/model/m{number}/eval?x=1.5"
