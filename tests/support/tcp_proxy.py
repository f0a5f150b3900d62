"""A TCP proxy on the loopback that counts what clients send, and brings answers late."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from tests.support.loop_thread import LoopThread

_PIECE_BYTES: Final = 1 << 16


class TcpProxy:
    """``delay_s`` before each piece of an answer is passed on; may be changed while it runs."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        self.delay_s = 0.0
        self.asked = 0
        """Pieces that clients sent: about one a request, for those who send one at a time."""

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            target_reader, target_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        pumps = [
            asyncio.create_task(self._requests(reader, target_writer)),
            asyncio.create_task(self._answers(target_reader, writer)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            pass  # only the proxy's end cancels this
        finally:
            for end in (writer, target_writer):
                end.transport.abort()
            for pump in pumps:
                pump.cancel()
            await asyncio.wait(pumps)

    async def _requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(_PIECE_BYTES):
                self.asked += 1
                writer.write(data)
                await writer.drain()

    async def _answers(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(_PIECE_BYTES):
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                writer.write(data)
                await writer.drain()


@contextmanager
def tcp_proxy(target: int) -> Iterator[TcpProxy]:
    """One in front of ``target``, a port of the loopback."""
    with LoopThread() as loop:
        proxy = TcpProxy(target)
        loop.call(proxy.start())
        try:
            yield proxy
        finally:
            loop.call(proxy.stop())
