"""The least that aiohttp can do: ``python -m benchmarks.bare_http PORT`` answers everything with what stdin held."""

from __future__ import annotations

import asyncio
import sys

from aiohttp import web

from mlserve.commands.loop import run


async def serve(port: int, answer: bytes) -> None:
    """Until the process is ended."""

    async def handle(request: web.BaseRequest) -> web.Response:
        if request.method == "POST":
            await request.read()
        return web.Response(body=answer, content_type="application/json")

    runner = web.ServerRunner(web.Server(handle))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    run(serve(int(sys.argv[1]), sys.stdin.buffer.read()))
