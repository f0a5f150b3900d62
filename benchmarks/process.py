"""Servers as processes of their own: ours, and the bare one that it is compared with."""

from __future__ import annotations

import http.client
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.machine import pin

ROOT = Path(__file__).parents[1]
PENGUINS = ROOT / "examples/models/penguins.onnx"
STARTS_WITHIN_S = 180.0
_STEP_S = 0.005
_PAUSE = 10
"""Times as long as the last look took: a server that is asked all the time whether it is ready, is so later."""


@dataclass(frozen=True, slots=True)
class Server:
    """A process that answers HTTP on ``port`` of the loopback."""

    pid: int
    port: int

    def connect(self) -> http.client.HTTPConnection:
        """A connection that stays open; use it with ``closing``."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)

    def ask(self, path: str, body: bytes | None = None) -> bytes:
        """The body of one answer. Raises :class:`RuntimeError` unless its status is 200."""
        with closing(self.connect()) as connection:
            return ask(connection, path, body)


def ask(connection: http.client.HTTPConnection, path: str, body: bytes | None = None) -> bytes:
    """The body of one answer on an open connection. Raises :class:`RuntimeError` unless its status is 200."""
    connection.request("GET" if body is None else "POST", path, body)
    response = connection.getresponse()
    text = response.read()
    if response.status != 200:
        raise RuntimeError(f"{path}: {response.status} {text[:300]!r}")
    return text


@contextmanager
def mlserve(config: Path, core: int | None = None) -> Iterator[Server]:
    """``mlserve -c config``, from the moment ``/readyz`` says 200."""
    port = free_port()
    command = [sys.executable, "-m", "mlserve", "-c", str(config), "--port", str(port), "--log-level", "error"]
    with running(command, port, "/readyz", core) as server:
        yield server


@contextmanager
def running(
    command: Sequence[str], port: int, path: str, core: int | None = None, stdin: bytes = b""
) -> Iterator[Server]:
    """``command``, from the moment ``path`` answers 200. Raises :class:`RuntimeError` if it does not start."""
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE)
    try:
        pin(process.pid, core)
        assert process.stdin is not None
        process.stdin.write(stdin)
        process.stdin.close()
        server = Server(process.pid, port)
        _wait(process, server, path)
        yield server
    finally:
        process.terminate()
        process.wait(30)


def _wait(process: subprocess.Popen[bytes], server: Server, path: str) -> None:
    deadline = time.monotonic() + STARTS_WITHIN_S
    while True:
        began = time.perf_counter()
        try:
            server.ask(path)
        except (OSError, http.client.HTTPException, RuntimeError) as error:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"what should answer {path} did not start: {error}") from error
            time.sleep(max(_STEP_S, _PAUSE * (time.perf_counter() - began)))
        else:
            return


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
