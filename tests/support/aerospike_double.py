"""One node of Aerospike on the loopback, for the official client: what it does not do, a test does not need.

A thread per connection, as the client's calls block. It says it is a node of build 8.0.0.15 that owns every partition.
"""

from __future__ import annotations

import socket
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from time import time
from typing import Final

from tests.support import aerospike_frames as wire
from tests.support.aerospike_frames import Answer, Request
from tests.support.aerospike_records import Records

WAIT_S: Final = 10.0
"""No wait of a test is longer."""
_EVERY_PARTITION: Final = b64encode(b"\xff" * 512).decode()


@dataclass(slots=True)
class Faults:
    """What goes wrong with requests about records. Tests set these; they hold for requests that come later."""

    silent: bool = False
    """Requests are read and never answered; info is."""
    mute: bool = False
    """Nothing is answered, info neither: the process hangs."""
    closes: bool = False
    """The connection is closed in place of an answer."""
    code: int | None = None
    """The result of every record, asked alone or in a batch."""
    codes: dict[bytes, int] = field(default_factory=dict)
    """The result of single records, by digest."""
    batch_code: int | None = None
    """The result of a batch as a whole; its rows are not answered."""
    lost: set[bytes] = field(default_factory=set)
    """Digests whose rows a batch leaves out."""
    unended: bool = False
    """A batch sends its rows and never its end."""
    pause_s: float = 0.0
    """Before each answer."""


class AerospikeDouble:
    """``records`` is what it keeps, ``faults`` what goes wrong, ``asked`` the requests about records so far."""

    def __init__(self, namespaces: tuple[str, ...] = ("test",), clock: Callable[[], float] = time) -> None:
        self.records = Records(namespaces, clock)
        self.faults = Faults()
        self.asked: list[Request] = []
        self.open_gate = threading.Event()
        """While it is clear, requests about records wait; a test sets it again."""
        self.open_gate.set()
        self.port = 0
        self._came = threading.Condition()
        self._stopped = threading.Event()
        self._threads: list[threading.Thread] = []
        self._sockets: set[socket.socket] = set()
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"aerospike://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Listen: on a free port, and on the same again after :meth:`stop`."""
        self._stopped = threading.Event()
        listener = socket.create_server(("127.0.0.1", self.port))
        self.port = listener.getsockname()[1]
        self._begin(self._accept, listener)

    def stop(self) -> None:
        """Gone as a killed process is: every connection is closed. What was stored is kept."""
        self._stopped.set()
        with self._lock:
            for one in self._sockets:
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(WAIT_S)
            assert not thread.is_alive(), "a connection of the double hangs"
        self._threads.clear()

    def arrived(self, count: int) -> None:
        """Returns once ``count`` requests about records have come, since the beginning. Blocks: call it in a thread."""
        with self._came:
            assert self._came.wait_for(lambda: len(self.asked) >= count, WAIT_S), f"{len(self.asked)} of {count} came"

    def _begin(self, serve: Callable[[socket.socket], None], one: socket.socket) -> None:
        with self._lock:
            if self._stopped.is_set():
                one.close()
                return
            self._sockets.add(one)
        thread = threading.Thread(target=self._serving, args=(serve, one), name="aerospike double")
        self._threads.append(thread)
        thread.start()

    def _serving(self, serve: Callable[[socket.socket], None], one: socket.socket) -> None:
        try:
            with one, suppress(OSError):
                serve(one)
        finally:
            with self._lock:
                self._sockets.discard(one)

    def _accept(self, listener: socket.socket) -> None:
        while not self._stopped.is_set():
            connection, _ = listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._begin(self._converse, connection)

    def _converse(self, connection: socket.socket) -> None:
        while header := _exactly(connection, wire.HEADER_BYTES):
            kind, size = wire.head(header)
            body = _exactly(connection, size)
            if body is None:
                return
            if self.faults.mute:
                continue
            if kind == wire.INFO:
                connection.sendall(wire.frame(wire.INFO, wire.info_answer(wire.info_names(body), self._info)))
                continue
            request = wire.request(body) if kind == wire.MESSAGE else Request()
            self._note(request)
            self._wait()
            if self._stopped.is_set() or self.faults.closes:
                return
            if self.faults.silent:
                continue
            for answer in self._answers(request):
                connection.sendall(wire.frame(wire.MESSAGE, answer))

    def _note(self, request: Request) -> None:
        with self._came:
            self.asked.append(request)
            self._came.notify_all()

    def _wait(self) -> None:
        while not self.open_gate.wait(0.01):
            if self._stopped.is_set():
                return
        if self.faults.pause_s:
            self._stopped.wait(self.faults.pause_s)

    def _info(self, name: str) -> str | None:
        replicas = ";".join(f"{namespace}:0,1,{_EVERY_PARTITION}" for namespace in self.records.namespaces)
        return {
            "node": "A1",
            "build": "8.0.0.15",
            "partition-generation": "0",
            "peers-generation": "0",
            "peers-clear-std": "0,3000,[]",
            "replicas": replicas,
        }.get(name)

    def _answers(self, request: Request) -> Iterator[bytes]:
        """The bodies of the frames that answer ``request``."""
        faults = self.faults
        if wire.BATCH not in request.fields:
            yield self._one(request).encoded()
            return
        if faults.batch_code is None:
            rows = [row for row in wire.rows(request) if row.digest not in faults.lost]
            yield b"".join(replace(self._one(row), index=row.index).encoded() for row in rows)
        if not faults.unended:
            yield Answer(faults.batch_code or 0, last=True).encoded()

    def _one(self, request: Request) -> Answer:
        code = self.faults.codes.get(request.digest, self.faults.code)
        if code is not None:
            return Answer(code)
        return self.records.answer(request)


def _exactly(connection: socket.socket, size: int) -> bytes | None:
    """So many bytes, however they arrive; ``None`` if the other side leaves before."""
    parts = bytearray()
    while len(parts) < size:
        part = connection.recv(min(size - len(parts), 1 << 16))
        if not part:
            return None
        parts += part
    return bytes(parts)


@contextmanager
def aerospike_double(
    namespaces: tuple[str, ...] = ("test",), clock: Callable[[], float] = time
) -> Iterator[AerospikeDouble]:
    """A node that listens until the block ends."""
    double = AerospikeDouble(namespaces, clock)
    double.start()
    try:
        yield double
    finally:
        double.stop()
