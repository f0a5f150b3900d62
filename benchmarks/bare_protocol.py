"""The least asyncio can do: ``python -m benchmarks.bare_protocol PORT`` answers each chunk with what stdin held."""

from __future__ import annotations

import asyncio
import sys
from typing import cast

from mlserve.commands.loop import run


class _Answering(asyncio.Protocol):
    def __init__(self, answer: bytes) -> None:
        self._answer = answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._transport.write(self._answer)


async def serve(port: int, answer: bytes) -> None:
    """Until the process is ended."""
    await asyncio.get_running_loop().create_server(lambda: _Answering(answer), "127.0.0.1", port)
    await asyncio.Event().wait()


if __name__ == "__main__":
    run(serve(int(sys.argv[1]), sys.stdin.buffer.read()))
