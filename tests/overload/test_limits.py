"""Every limit of the configuration, as it acts in a server that has them all set low."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from typing import Any

from tests.support.daemon import Daemon

PATIENCE_S = 10.0
Serve = Callable[[float, str], AbstractContextManager[Daemon]]

ENDPOINT = (
    "{BufferSize: 2000, MaxHeaderBytes: 512, MaxRows: 5, MaxInFlightBytes: 2500, MaxConnections: 3,"
    " ReadTimeoutMs: 400, IdleTimeoutMs: 800, WriteTimeoutMs: 3000,"
    " MaxEvaluatorConcurrency: 1, MaxEvaluatorWaitMs: 20}"
)
COST_S = 0.25


class Wire:
    """One connection, written to and read from as bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def ask(self, raw: bytes) -> tuple[int, dict[str, Any], bytes]:
        """Status, body and head of the answer to ``raw``, which may be anything."""
        self.writer.write(raw)
        async with asyncio.timeout(PATIENCE_S):
            head = (await self.reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
            return int(head.split()[1]), json.loads(await self.reader.readexactly(length)), head

    async def end(self) -> bytes:
        """What comes until the server closes."""
        async with asyncio.timeout(PATIENCE_S):
            return await self.reader.read()


@asynccontextmanager
async def connected(daemon: Daemon, count: int) -> AsyncIterator[list[Wire]]:
    wires = [Wire(*await asyncio.open_connection("127.0.0.1", daemon.port)) for _ in range(count)]
    try:
        yield wires
    finally:
        for wire in wires:
            wire.writer.transport.abort()


def post(body: bytes, *, length: int | None = None, header: bytes = b"") -> bytes:
    size = len(body) if length is None else length
    return b"POST /v1/api/model/m/eval HTTP/1.1\r\nHost: t\r\n%bContent-Length: %d\r\n\r\n%b" % (header, size, body)


ONE = post(b'{"x": 1}')
REFUSED = [
    (post(b"", length=2001), 413, "too_large", "2000 bytes of BufferSize"),
    (post(b"", header=b"X: " + b"x" * 512 + b"\r\n"), 431, "header_too_large", "512 bytes of MaxHeaderBytes"),
    (post(b'{"x": [1,2,3,4,5,6]}'), 413, "too_large", "5"),
    (post(b'{"x": 1, "batch_size": 1000000000000}'), 413, "too_large", "5"),
    (post(b'{"x": 1', length=8), 408, "slow_sender", "0.4 s"),
    (post(b'{"x": 1}', header=b"X-Request-Timeout-Ms: 100\r\n"), 504, "deadline_exceeded", "deadline"),
]


async def one_request(daemon: Daemon) -> None:
    """Limits that a request alone may be over."""
    for raw, status, code, says in REFUSED:
        async with connected(daemon, 1) as (wire,):
            got, body, _ = await wire.ask(raw)
            assert (got, body["code"]) == (status, code), body
            assert says in body["error"]


async def bytes_in_flight(daemon: Daemon) -> None:
    async with connected(daemon, 2) as (reading, other):
        reading.writer.write(post(b" " * 1500, length=2000))
        await reading.writer.drain()
        # Answered after what was sent before it has been read.
        assert (await other.ask(b"GET /healthz HTTP/1.1\r\nHost: t\r\n\r\n"))[0] == 200
        status, body, head = await other.ask(post(b"", length=1001))
        assert (status, body["code"]) == (429, "overloaded")
        assert "MaxInFlightBytes" in body["error"]
        assert b"retry-after: 1\r\n" in head


async def evaluations(daemon: Daemon) -> None:
    async with connected(daemon, 2) as (first, second):
        answers = await asyncio.gather(first.ask(ONE), second.ask(ONE))
        (status, _, _), (refused, body, head) = sorted(answers, key=lambda answer: answer[0])
        assert status == 200
        assert (refused, body["code"]) == (429, "overloaded")
        assert "MaxEvaluatorConcurrency allows: 1" in body["error"]
        assert b"retry-after: 1\r\n" in head
        assert (await second.ask(ONE))[0] == 200, "it is free again"


async def connections(daemon: Daemon) -> None:
    async with connected(daemon, 3) as wires, connected(daemon, 1) as (fourth,):
        for wire in wires:
            assert (await wire.ask(b"GET /healthz HTTP/1.1\r\nHost: t\r\n\r\n"))[0] == 200
        status, body, _ = await fourth.ask(ONE)
        assert (status, body["code"]) == (503, "not_ready")
        assert "MaxConnections" in body["error"]
        assert await fourth.end() == b""
        for wire in wires:
            assert await wire.end() == b"", "idle connections close after IdleTimeoutMs"


def test_every_limit_acts(serve: Serve) -> None:
    """A limit that is read from the file and given to nobody protects nobody."""
    with serve(COST_S, ENDPOINT) as daemon:
        for limit in (one_request, bytes_in_flight, evaluations, connections):
            asyncio.run(limit(daemon))
