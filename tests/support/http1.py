"""A raw HTTP/1.1 client: it sends any bytes in any pieces and reads answers with a bound on its patience."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from mlserve.transport.http1 import Http1Limits, Http1Server
from mlserve.transport.message import Handler

PATIENCE_S = 5.0


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer as it came; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Wire:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, *pieces: bytes) -> None:
        """Write each piece by itself; a server that has already closed is no error."""
        for piece in pieces:
            self.writer.write(piece)
            try:
                await self.writer.drain()
            except ConnectionError:
                return

    async def answer(self, *, head_only: bool = False, patience_s: float = PATIENCE_S) -> Answer:
        """The next answer. Raises if it does not come in time or the connection ends first."""
        async with asyncio.timeout(patience_s):
            head = await self.reader.readuntil(b"\r\n\r\n")
            line, *fields = head[:-4].decode("latin-1").split("\r\n")
            pairs = [field.split(": ", 1) for field in fields]
            headers = {name.lower(): value for name, value in pairs}
            assert len(headers) == len(pairs), f"a header stands twice: {fields}"
            size = 0 if head_only else int(headers.get("content-length", 0))
            return Answer(int(line.split(" ")[1]), headers, await self.reader.readexactly(size))

    async def ended(self, patience_s: float = PATIENCE_S) -> bytes:
        """Wait until the server has closed; what came before that."""
        async with asyncio.timeout(patience_s):
            try:
                return await self.reader.read()
            except ConnectionError:
                return b""

    def leave(self) -> None:
        self.writer.transport.abort()


@asynccontextmanager
async def connect(server: Http1Server) -> AsyncIterator[Wire]:
    reader, writer = await asyncio.open_connection(*server.address)
    wire = Wire(reader, writer)
    try:
        yield wire
    finally:
        wire.leave()


@asynccontextmanager
async def serving(handler: Handler, limits: Http1Limits, **options: Any) -> AsyncIterator[Http1Server]:
    """A server on a free port of the loopback, cut down at the end."""
    server = Http1Server(handler, limits, **options)
    await server.start("127.0.0.1", 0)
    try:
        yield server
    finally:
        await server.close(0.0)
