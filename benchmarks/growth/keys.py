"""Rows that memory holds, each as likely to be asked. Those that are computed come from a model beside, uncached."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from benchmarks.growth.axis import COMPUTED, FLAT, HITS, LINEAR, Axis, Line, Target
from benchmarks.load import Load
from benchmarks.machine import server_core
from benchmarks.process import Server, mlserve
from benchmarks.workload import CACHED, TINY, body
from benchmarks.wrk import numbered
from tests.support.versions import write_version

COUNTS: Final = (1_000, 10_000, 100_000, 1_000_000)
MOST_BY_BYTES: Final = 100_000
"""Each of them has to be asked by itself, twice, before it is a hit by its bytes: a million would take minutes."""
BY_ROW: Final = "hits that are decoded"
NOT_REPEATED: Final = "X-Request-Timeout-Ms: 30000\\r\\n"
"""With a deadline of its own, a request is decoded, and its row looked up, although its bytes came before."""
BYTES_OF_KEY: Final = 8_192
"""An eighth of the tier is for knowing requests by their bytes: a kilobyte is more than one takes."""
ROWS_OF_FILL: Final = 10_000
FILL_CONNECTIONS: Final = 64
PASSES: Final = 2
"""The first finds the row and has its answer recorded, the second has the whole request remembered."""


def _open(stack: ExitStack, folder: Path) -> list[Line]:
    write_version(folder / "tiny.onnx", 1)
    servers = {count: stack.enter_context(_holding(count, folder)) for count in COUNTS}
    by_bytes = {count: server for count, server in servers.items() if count <= MOST_BY_BYTES}
    return [
        Line(HITS, _numbers(CACHED, by_bytes), FLAT),
        Line(BY_ROW, _numbers(CACHED, servers, NOT_REPEATED), FLAT),
        Line(COMPUTED, _numbers(TINY, servers), LINEAR),
    ]


def _numbers(path: str, servers: Mapping[int, Server], header: str = "") -> dict[int, Target]:
    return {count: Target(server, numbered(f"{path}?x=", count, header)) for count, server in servers.items()}


@contextmanager
def _holding(count: int, folder: Path) -> Iterator[Server]:
    """A server whose memory has answered each number below ``count``, by itself and over the wire."""
    config = folder / f"{count}.yaml"
    config.write_text(
        "Models: [{ID: tiny, URL: tiny.onnx}, {ID: cached, URL: tiny.onnx, DataStore: memory}]\n"
        f"Datastores: [{{ID: memory, Cache: {{SizeMB: {max(16, count * BYTES_OF_KEY // 2**20)}}}}}]\n"
    )
    with mlserve(config, server_core()) as server:
        for first in range(0, count, ROWS_OF_FILL):
            server.ask(CACHED, body({"x": list(range(first, min(first + ROWS_OF_FILL, count)))}))
        for _ in range(PASSES if count <= MOST_BY_BYTES else 0):
            _ask_each(server, count)
        print(f"{count:,} keys are in memory", file=sys.stderr, flush=True)
        yield server


def _ask_each(server: Server, count: int) -> None:
    """A GET for each number, over many connections. wrk does not end when it has asked all."""
    with ExitStack() as stack:
        connections = [
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=30))
            for _ in range(FILL_CONNECTIONS)
        ]
        for first in range(0, count, FILL_CONNECTIONS):
            busy = connections[: count - first]
            for number, connection in enumerate(busy, start=first):
                connection.sendall(Load(f"{CACHED}?x={number}").wire())
            for connection in busy:
                answer = connection.recv(65536)
                if not answer.startswith(b"HTTP/1.1 200 "):
                    raise RuntimeError(f"{CACHED}: {answer!r}")


KEYS: Final = Axis("keys in memory", _open)
