"""The open loop: latencies that callers would have had, against real sockets."""

from __future__ import annotations

import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from benchmarks.peers.paced import CONNECTIONS, generate

REQUEST = b"POST / HTTP/1.1\r\nContent-Length: 1\r\n\r\nx"
OK = b"HTTP/1.1 200 OK\r\nInference-Header-Content-Length: 1\r\nContent-Length: 2\r\n\r\nhi"
"""With a header that Triton has, whose name ends like the one that counts."""
STALL_S = 0.3
PACE = 100


@contextmanager
def server(answer: bytes, stall_s: float = 0.0) -> Iterator[int]:
    """The port of one that gives ``answer`` to each chunk, the first after ``stall_s``."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            wait_s = stall_s
            while self.request.recv(1 << 16):
                time.sleep(wait_s)
                wait_s = 0.0
                self.request.sendall(answer)

    class Listening(socketserver.ThreadingTCPServer):
        request_queue_size = CONNECTIONS

    with Listening(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield listening.server_address[1]
        finally:
            listening.shutdown()
            thread.join()


def test_each_request_that_was_due_has_its_latency() -> None:
    """Percentiles of fewer or of more callers than came would be of another load."""
    with server(OK) as port:
        taken = generate(port, [REQUEST], pace=200, seconds=0.2)
    assert len(taken) == 40
    assert min(taken) > 0


def test_a_stall_is_charged_to_all_who_came_meanwhile() -> None:
    """A generator that waits with the server would show one slow answer of many, and a fine p99."""
    with server(OK, STALL_S) as port:
        taken = generate(port, [REQUEST], pace=PACE, seconds=STALL_S, connections=1)
    for late, latency_us in enumerate(sorted(taken, reverse=True)):
        assert latency_us >= (STALL_S - late / PACE) * 1e6 - 1


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", "not a 200"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n", "more than"),
    ],
)
def test_what_is_not_one_good_answer_ends_the_run(answer: bytes, says: str) -> None:
    """A server that refuses quickly must not look like a quick one."""
    with server(answer) as port, pytest.raises(RuntimeError, match=says):
        generate(port, [REQUEST], pace=100, seconds=0.1, connections=1)
