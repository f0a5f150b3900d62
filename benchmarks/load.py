"""Load on an HTTP port from another core: by ``wrk`` where it is installed, else by the generator at the end.

The generator is a process too: ``python -m benchmarks.load PORT CONNECTIONS SECONDS``, one whole request on stdin. It
prints how many answers came, and in how many seconds.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass

import psutil

from benchmarks.machine import load_core, pin
from benchmarks.process import ROOT, Server
from mlserve.commands.loop import run

CONNECTIONS = 32


@dataclass(frozen=True, slots=True)
class Load:
    """One request, sent again and again. ``body`` makes it a POST."""

    path: str
    body: bytes | None = None

    def wire(self) -> bytes:
        """The request as bytes."""
        if self.body is None:
            return f"GET {self.path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        head = f"POST {self.path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        return f"{head}Content-Length: {len(self.body)}\r\n\r\n".encode() + self.body


def generator() -> str:
    """The name of what makes the load here."""
    return "wrk" if shutil.which("wrk") else "benchmarks.load"


@dataclass(frozen=True, slots=True)
class Rate:
    """What a server answered. ``cpu_us`` is its processor time for each, which others on its core do not change."""

    per_second: float
    cpu_us: float


def rate_of(server: Server, load: Load, *, seconds: float, connections: int = CONNECTIONS) -> Rate:
    """How quickly ``server`` answers, all of it 200. Raises :class:`RuntimeError` for any other answer."""
    before = _cpu_seconds(server)
    answers, took = (_by_wrk if generator() == "wrk" else _by_ours)(server.port, load, seconds, connections)
    return Rate(answers / took, (_cpu_seconds(server) - before) / answers * 1e6)


def _cpu_seconds(server: Server) -> float:
    times = psutil.Process(server.pid).cpu_times()
    return times.user + times.system


def _by_ours(port: int, load: Load, seconds: float, connections: int) -> tuple[int, float]:
    command = [sys.executable, "-m", "benchmarks.load", str(port), str(connections), str(seconds)]
    answers, took = _run(command, seconds, load.wire()).split()
    return int(answers), float(took)


def _by_wrk(port: int, load: Load, seconds: float, connections: int) -> tuple[int, float]:
    with tempfile.NamedTemporaryFile("wb", suffix=".lua") as script:
        if load.body is not None:
            script.write(b'wrk.method = "POST"\nwrk.headers["Content-Type"] = "application/json"\n')
            script.write(b"wrk.body = [==[" + load.body + b"]==]\n")
            script.flush()
        # wrk's -d takes whole seconds.
        options = ["-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "-s", script.name]
        said = _run(["wrk", *options, f"http://127.0.0.1:{port}{load.path}"], seconds, b"")
    if "Non-2xx" in said or "Socket errors" in said:
        raise RuntimeError(said)
    done = re.search(r"(\d+) requests in ([\d.]+)s", said)
    if done is None:
        raise RuntimeError(said)
    return int(done[1]), float(done[2])


def _run(command: list[str], seconds: float, stdin: bytes) -> str:
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        pin(process.pid, load_core())
        said, _ = process.communicate(stdin, timeout=seconds + 30)
    if process.returncode != 0:
        raise RuntimeError(f"{command[0]} ended with {process.returncode}: {said.decode()}")
    return said.decode()


class _Client(asyncio.Protocol):
    """One connection: asks, reads one whole answer, asks again."""

    def __init__(self, request: bytes) -> None:
        self.answers = 0
        self.fault: str | None = None
        self._request = request
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        transport.write(self._request)  # type: ignore[attr-defined] # of create_connection it is always a Transport

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._buffer[:end].lower()
        length = int(head.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
        if len(self._buffer) < end + 4 + length:
            return
        if not head.startswith(b"http/1.1 200"):
            self.fault = repr(self._buffer[:300])
            return
        self._buffer = b""
        self.answers += 1
        self._transport.write(self._request)  # type: ignore[attr-defined] # as above

    def connection_lost(self, exc: Exception | None) -> None:
        self.fault = self.fault or f"the server closed the connection: {exc}"


async def _generate(port: int, connections: int, seconds: float, request: bytes) -> tuple[int, float]:
    loop, start = asyncio.get_running_loop(), time.perf_counter()
    clients = [_Client(request) for _ in range(connections)]
    for client in clients:
        await loop.create_connection(lambda client=client: client, "127.0.0.1", port)  # type: ignore[misc] # a default
    await asyncio.sleep(seconds)
    answers, took = sum(client.answers for client in clients), time.perf_counter() - start
    for client in clients:
        if client.fault is not None:
            raise RuntimeError(client.fault)
    return answers, took


if __name__ == "__main__":
    print(*run(_generate(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), sys.stdin.buffer.read())))
