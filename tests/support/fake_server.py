"""A server that answers what a test says, byte for byte if need be: for clients that must survive bad ones."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it came; header names in lower case."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)


Script = Callable[[Asked], Awaitable[bytes]]
"""The bytes to answer with. Answers that do not end in their own time end with the connection."""


def reply(status: int, body: object, **headers: str) -> bytes:
    """A whole HTTP answer; ``retry_after="1"`` is the header ``Retry-After``."""
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    fields = {"Content-Length": str(len(content)), "Content-Type": "application/json"}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status} Reason\r\n{head}\r\n".encode() + content


def predicted(data: object) -> bytes:
    """The answer of a model."""
    return reply(200, {"status": "ok", "dictHash": 7, "serviceTimeMcs": 1, "data": data})


def refused(status: int, code: str, text: str, **headers: str) -> bytes:
    """The answer of a server that will not."""
    return reply(status, {"status": "error", "error": text, "code": code, "serviceTimeMcs": 1}, **headers)


@dataclass(slots=True)
class FakeServer:
    """``asked`` are the requests so far, ``busiest`` the most that were under way at once."""

    script: Script
    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    connections: int = 0
    busiest: int = 0
    _busy: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head, *lines = (await reader.readuntil(b"\r\n\r\n"))[:-4].decode("latin-1").split("\r\n")
                headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                asked = Asked(head.split(" ")[1], headers, body)
                self.asked.append(asked)
                self._busy += 1
                self.busiest = max(self.busiest, self._busy)
                self.arrived.set()
                try:
                    answer = await self.script(asked)
                finally:
                    self._busy -= 1
                writer.write(answer)
                await writer.drain()
                if not _whole(answer):
                    return
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            return  # only the test's end cancels this
        finally:
            writer.close()


def _whole(answer: bytes) -> bool:
    head, _, content = answer.partition(b"\r\n\r\n")
    return b"Content-Length: %d\r\n" % len(content) in head + b"\r\n"


@asynccontextmanager
async def faking(script: Script) -> AsyncIterator[FakeServer]:
    """A server on a free port of the loopback; requests still under way at the end are dropped."""
    fake = FakeServer(script)
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        await fake.serve(reader, writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    fake.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield fake
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def answering(*answers: bytes) -> Script:
    """One after the other, the last for ever."""
    rest = list(answers)

    async def script(asked: Asked) -> bytes:
        return rest.pop(0) if len(rest) > 1 else rest[0]

    return script
