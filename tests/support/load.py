"""Load on a real server by raw sockets: a bounded number of connections, and the time that each answer took."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from statistics import quantiles

PATIENCE_S = 20.0


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer; ``seconds`` from the request's first byte sent to the answer's last byte read."""

    status: int
    seconds: float
    headers: dict[str, str]
    body: bytes


class Caller(asyncio.Protocol):
    """One keep-alive connection, one request at a time."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self._buffer = b""
        self._waiting: asyncio.Future[Reply] | None = None

    async def ask(self, request: bytes) -> Reply:
        """Raises :class:`ConnectionError` if the server closes instead of answering."""
        loop = asyncio.get_running_loop()
        self._waiting = loop.create_future()
        self._sent = loop.time()
        self.transport.write(request)  # type: ignore[attr-defined]  # a socket's transport can write
        async with asyncio.timeout(PATIENCE_S):
            return await self._waiting

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        line, *fields = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (field.partition(": ") for field in fields)}
        if len(body) < int(headers.get("content-length", "0")):
            return
        self._buffer = b""
        if self._waiting is not None and not self._waiting.done():
            seconds = asyncio.get_running_loop().time() - self._sent
            self._waiting.set_result(Reply(int(line.split(" ")[1]), seconds, headers, body))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(ConnectionError(f"the server closed the connection: {exc}"))


@asynccontextmanager
async def callers(port: int, count: int) -> AsyncIterator[list[Caller]]:
    """``count`` open connections."""
    loop = asyncio.get_running_loop()
    made = [(await loop.create_connection(Caller, "127.0.0.1", port))[1] for _ in range(count)]
    try:
        yield made
    finally:
        for caller in made:
            caller.transport.abort()  # type: ignore[attr-defined]  # a socket's transport can be cut


async def closed_loop(clients: list[Caller], request: bytes, *, each: int) -> list[Reply]:
    """Every client asks ``each`` times, one after another: as much as the server takes."""

    async def asking(client: Caller) -> list[Reply]:
        return [await client.ask(request) for _ in range(each)]

    return [reply for replies in await asyncio.gather(*map(asking, clients)) for reply in replies]


async def open_loop(clients: list[Caller], request: bytes, *, per_second: float, seconds: float) -> list[Reply]:
    """Requests at a steady pace, whatever becomes of those before. Raises if all clients are waiting at once."""
    loop = asyncio.get_running_loop()
    free, replies = list(clients), []  # type: tuple[list[Caller], list[Reply]]

    async def asking(client: Caller) -> None:
        replies.append(await client.ask(request))
        free.append(client)

    start = loop.time()
    async with asyncio.TaskGroup() as group:
        for number in range(int(per_second * seconds)):
            ahead = start + number / per_second - loop.time()
            if ahead > 0:
                await asyncio.sleep(ahead)
            assert free, f"{len(clients)} requests wait for their answers at once"
            group.create_task(asking(free.pop()))
    return replies


def percentile(replies: list[Reply], percent: int) -> float:
    """Of the seconds that they took."""
    return quantiles([reply.seconds for reply in replies], n=100)[percent - 1]
