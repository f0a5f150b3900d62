"""Clients that do nothing, or next to nothing: ``python -m tests.support.crowd PORT IDLE DRIBBLING``.

A process of its own, so that what they cost is not taken for what they cost the server. Prints ``here`` when all are
connected, and ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from mlserve.transport.descriptors import connections_allowed

PAUSE_S = 0.5
REQUEST = b"POST /v1/api/model/m/eval HTTP/1.1\r\nHost: crowd\r\nContent-Length: 100000\r\n\r\n" + b" " * 100000


@contextmanager
def crowd(port: int, *, idle: int, dribbling: int) -> Iterator[None]:
    """The process, while the block runs."""
    command = [sys.executable, "-m", "tests.support.crowd", str(port), str(idle), str(dribbling)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
        try:
            yield
        finally:
            process.stdin.close()
            assert process.wait(20) == 0


async def _dribble(port: int) -> None:
    """One byte now and then; when the server has had enough of it, once more from the start."""
    while True:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            for byte in REQUEST:
                writer.write(bytes([byte]))
                await asyncio.sleep(PAUSE_S)
                if writer.transport.is_closing():
                    break
        finally:
            writer.transport.abort()


async def _main(port: int, idle: int, dribbling: int) -> None:
    connections_allowed(idle + dribbling)
    loop = asyncio.get_running_loop()
    silent = [await loop.create_connection(asyncio.Protocol, "127.0.0.1", port) for _ in range(idle)]
    dribblers = []
    for _ in range(dribbling):
        dribblers.append(asyncio.create_task(_dribble(port)))
        await asyncio.sleep(PAUSE_S / dribbling)
    print("here", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    for task in dribblers:
        task.cancel()
    await asyncio.wait(dribblers)
    for transport, _ in silent:
        transport.abort()


if __name__ == "__main__":
    asyncio.run(_main(*map(int, sys.argv[1:])))
