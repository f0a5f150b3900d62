"""What callers wait who come when they come: requests at a set pace, whether the server keeps up or not (an open loop).

``python -m benchmarks.peers.paced PORT PACE SECONDS`` takes the requests on stdin (their lengths as JSON in the first
line, then their bytes) and prints a JSON list of latencies in microseconds. Each is counted from the moment when its
request was due, also when all connections were still busy then: a server that stalls is charged for all who would have
come meanwhile (no "coordinated omission").
"""

from __future__ import annotations

import json
import select
import socket
import sys
import time
from collections import deque
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Final

from benchmarks.generator import generate_by

CONNECTIONS: Final = 64
PATIENCE_S: Final = 30.0
"""For the answers still due when the time is over."""
_SPIN_S: Final = 0.0002
"""The system wakes sleepers this late, so the last of a wait is spent asking again."""
_CHUNK: Final = 1 << 18


def latencies_us(port: int, requests: Sequence[bytes], *, pace: int, seconds: int) -> list[float]:
    """One for each request that was due. Raises :class:`RuntimeError` for an answer that is not 200 or never comes."""
    command = [sys.executable, "-m", "benchmarks.peers.paced", str(port), str(pace), str(seconds)]
    head = json.dumps([len(request) for request in requests]).encode() + b"\n"
    said = generate_by(command, stdin=head + b"".join(requests), within_s=seconds + PATIENCE_S + 30)
    taken: list[float] = json.loads(said)
    return taken


class _Connection:
    """One that carries a request at a time."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = b""
        self._due = 0.0

    def fileno(self) -> int:
        return self.socket.fileno()

    def send(self, request: bytes, due: float) -> None:
        self._due = due
        self.socket.sendall(request)

    def receive(self) -> float | None:
        """When the request was due, if this was the end of its answer."""
        chunk = self.socket.recv(_CHUNK)
        if not chunk:
            raise RuntimeError("the server closed a connection")
        self._buffer += chunk
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return None
        head = self._buffer[:end].lower()
        if not head.startswith(b"http/1.1 200"):
            raise RuntimeError(f"not a 200: {self._buffer[:300]!r}")
        missing = end + 4 + int(head.split(b"\r\ncontent-length:", 1)[1].split(b"\r\n", 1)[0]) - len(self._buffer)
        if missing > 0:
            return None
        if missing < 0:
            raise RuntimeError(f"more than one answer to one request: {self._buffer[:300]!r}")
        self._buffer = b""
        return self._due


def generate(
    port: int, requests: Sequence[bytes], pace: int, seconds: float, connections: int = CONNECTIONS
) -> list[float]:
    """Send ``requests`` in turn at ``pace`` a second, for ``seconds``, and wait for what is missing then.

    Returns latencies in microseconds. Raises :class:`RuntimeError` as :func:`latencies_us`.
    """
    with ExitStack() as opened:
        free = deque(_Connection(port) for _ in range(connections))
        for connection in free:
            opened.callback(connection.socket.close)
        busy: set[_Connection] = set()
        total, sent, taken = int(pace * seconds), 0, list[float]()
        start = time.perf_counter()
        while len(taken) < total:
            now = time.perf_counter()
            while sent < total and free and start + sent / pace <= now:
                connection = free.popleft()
                connection.send(requests[sent % len(requests)], start + sent / pace)
                busy.add(connection)
                sent += 1
            wait = start + sent / pace - now - _SPIN_S if sent < total and free else PATIENCE_S
            answered, _, _ = select.select(busy, (), (), max(0.0, wait))
            if not answered and wait >= PATIENCE_S:
                raise RuntimeError(f"{len(busy)} answers did not come within {PATIENCE_S:g} s")
            for connection in answered:
                due = connection.receive()
                if due is not None:
                    taken.append((time.perf_counter() - due) * 1e6)
                    busy.discard(connection)
                    free.append(connection)
        return taken


def _main() -> None:
    lengths = json.loads(sys.stdin.buffer.readline())
    requests = [sys.stdin.buffer.read(length) for length in lengths]
    port, pace, seconds = map(int, sys.argv[1:])
    print(json.dumps([round(taken, 1) for taken in generate(port, requests, pace, seconds)]))


if __name__ == "__main__":
    _main()
