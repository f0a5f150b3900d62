"""The least that a loop can do: ``python -m benchmarks.peers.bare_protocol PORT`` answers all with what stdin held.

It believes that each chunk is one request, which holds for clients that wait for the answer.
"""

from __future__ import annotations

import asyncio
import sys

from mlserve.commands.loop import run


class _Repeat(asyncio.Protocol):
    def __init__(self, answer: bytes) -> None:
        self._answer = answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._transport.write(self._answer)  # type: ignore[attr-defined] # of create_server it is always a Transport


async def serve(port: int, body: bytes) -> None:
    """Until the process is ended."""
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    answer = head.encode() + body
    server = await asyncio.get_running_loop().create_server(lambda: _Repeat(answer), "127.0.0.1", port)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    run(serve(int(sys.argv[1]), sys.stdin.buffer.read()))
