"""Connections that are open and busy at once. That they are made is in the figures too."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Final

from benchmarks.growth.axis import COMPUTED, FLAT, HITS, LINEAR, Axis, Line, Target
from benchmarks.load import Load
from benchmarks.machine import server_core
from benchmarks.process import mlserve
from benchmarks.workload import CACHED, TINY, http_config
from benchmarks.wrk import in_turn

COUNTS: Final = (1, 8, 32, 128, 512, 2_000)
ROWS: Final = 100
ASKED_BEFORE: Final = 3


def _open(stack: ExitStack, folder: Path) -> list[Line]:
    server = stack.enter_context(mlserve(http_config(folder), server_core()))
    paths = {name: [f"{path}?x={row}.5" for row in range(ROWS)] for name, path in ((HITS, CACHED), (COMPUTED, TINY))}
    for path in ASKED_BEFORE * paths[HITS]:
        server.ask(path)
    scripts = {name: in_turn([Load(path).wire() for path in asked]) for name, asked in paths.items()}
    return [
        Line(name, {count: Target(server, scripts[name], count) for count in COUNTS}, limit)
        for name, limit in ((HITS, FLAT), (COMPUTED, LINEAR))
    ]


CONNECTED: Final = Axis("connections", _open)
