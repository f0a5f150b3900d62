"""Our carriers and nothing behind: ``python -m benchmarks.bare_http2 PORT`` answers everything with what stdin held."""

from __future__ import annotations

import asyncio
import sys

from mlserve.commands.loop import run
from mlserve.transport.http1 import Http1Limits, Http1Server
from mlserve.transport.message import HttpRequest, HttpResponse
from mlserve.transport.opening import Opening


async def serve(port: int, answer: bytes) -> None:
    """Until the process is ended."""

    async def handle(request: HttpRequest) -> HttpResponse:
        return HttpResponse(200, answer)

    await Http1Server(handle, Http1Limits(), front=Opening).start("127.0.0.1", port)
    await asyncio.Event().wait()


if __name__ == "__main__":
    run(serve(int(sys.argv[1]), sys.stdin.buffer.read()))
