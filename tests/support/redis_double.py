"""A server that speaks Redis's protocol as badly as a test wants it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import hiredis

Script = Callable[[list[bytes]], bytes | None]
"""From one command to the bytes that answer it; ``None`` closes the connection."""


@dataclass(slots=True)
class RedisDouble:
    """``asked`` are all commands so far, ``open`` the connections that are not closed yet."""

    script: Script
    port: int = 0
    asked: list[list[bytes]] = field(default_factory=list)
    connections: int = 0
    open: int = 0

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        parser = hiredis.Reader(notEnoughData=self)
        try:
            while data := await reader.read(1 << 16):
                parser.feed(data)
                while (command := parser.gets()) is not self:
                    self.asked.append(command)
                    answer = self.script(command)
                    if answer is None:
                        return
                    writer.write(answer)
                await writer.drain()
        except (ConnectionError, asyncio.CancelledError):
            return  # only the test's end cancels this
        finally:
            self.open -= 1
            writer.close()


@asynccontextmanager
async def redis_double(script: Script) -> AsyncIterator[RedisDouble]:
    """On a free port of the loopback."""
    double = RedisDouble(script)
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        await double.serve(reader, writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    double.port = server.sockets[0].getsockname()[1]
    try:
        yield double
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
