"""A connection without a socket: bytes go straight to the protocol that a server makes, and come straight back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

ANSWERED_WITHIN_S: Final = 30.0


class Wire(asyncio.Transport):
    """The client's end of one connection, for one request at a time. Its own work is little, and always the same.

    A protocol writes each answer within one step of the loop, in one part or in several.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, connect: Callable[[], asyncio.BaseProtocol]) -> None:
        super().__init__()
        self._loop = loop
        self._said: list[Any] = []
        self._waiter: asyncio.Future[None] | None = None
        self._closed = False
        self._protocol: Any = connect()
        self._protocol.connection_made(self)

    def send(self, request: bytes) -> None:
        """One whole request, when the one before is answered."""
        self._protocol.data_received(request)

    async def answer(self) -> bytes:
        """What the server says to the request sent last. Raises :class:`RuntimeError` if it says nothing."""
        if not self._said:
            self._waiter = self._loop.create_future()
            timer = self._loop.call_later(ANSWERED_WITHIN_S, self._give_up)
            try:
                await self._waiter
            finally:
                self._waiter = None
                timer.cancel()
        answer = b"".join(self._said)
        self._said.clear()
        return answer

    async def ask(self, request: bytes) -> bytes:
        """The answer to ``request``, head and body."""
        self.send(request)
        return await self.answer()

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        self._said.append(data)
        if self._waiter is not None:
            self._waiter.set_result(None)
            self._waiter = None

    def close(self) -> None:
        """Either end may."""
        if not self._closed:
            self._closed = True
            self._loop.call_soon(self._protocol.connection_lost, None)

    def abort(self) -> None:
        self.close()

    def is_closing(self) -> bool:
        return self._closed

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 1) if name == "peername" else default

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0

    def _give_up(self) -> None:
        if self._waiter is not None:
            self._waiter.set_exception(RuntimeError(f"no answer within {ANSWERED_WITHIN_S:g} s"))
            self._waiter = None
