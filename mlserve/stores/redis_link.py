"""One connection to a Redis server: requests out, replies in, and no trust left after the first mishap.

Of redis-py only its parser is used, hiredis: redis-py's own connections cannot be aborted, so a frozen server would
keep their sockets and unsent bytes for as long as it likes; nor do they bound what one reply may hold.

Replies are of RESP2 (https://redis.io/docs/latest/develop/reference/protocol-spec/): no other message comes unasked.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Final, cast

import hiredis

from mlserve.contracts.store import MAX_VALUE_BYTES, StoreFault
from mlserve.stores.redis_faults import failed

Reply = bytes | int | None | hiredis.ReplyError | list["Reply"]

MAX_UNREAD_BYTES: Final = MAX_VALUE_BYTES + 4096
"""hiredis makes each element of an array at once, so what it still holds is one unfinished element: a value, the line
before it, and up to 1 KiB in front that it has read and not yet let go."""
UNASKED: Final = "the server sent what nobody asked for"
_UNFINISHED: Final = object()


def packed(*words: bytes | str | int) -> bytes:
    """One command. Text is sent as UTF-8."""
    return cast("bytes", hiredis.pack_command(words))  # type: ignore[arg-type]  # its stub says: one word


class Oversized(Exception):
    """A value larger than :data:`MAX_VALUE_BYTES` came; it was not read to its end, and the link has ended."""


class Link(asyncio.Protocol):
    """Made by :func:`mlserve.stores.redis_connect.connect`. One :meth:`exchange` at a time."""

    def __init__(self) -> None:
        self.ended: Exception | None = None
        """Why it can be used no more."""
        self.lost = asyncio.get_running_loop().create_future()
        """Done when the socket is closed."""
        self._parser = hiredis.Reader(notEnoughData=_UNFINISHED)
        self._replies: list[Reply] = []
        self._due = 0
        self._waiter: asyncio.Future[None] | None = None
        self._transport: asyncio.Transport

    async def encrypt(self, context: ssl.SSLContext, host: str) -> None:
        """TLS from here on; before the first exchange. Raises :class:`OSError`."""
        loop = asyncio.get_running_loop()
        transport = await loop.start_tls(self._transport, self, context, server_hostname=host)
        if transport is None:
            raise ConnectionAbortedError("the server closed the connection")
        self._transport = transport

    async def exchange(self, request: bytes, due: int) -> list[Reply]:
        """The ``due`` replies to ``request``. However else this ends, the link has ended too.

        Raises :class:`StoreFault` and :class:`Oversized`. The caller sets the deadline.
        """
        if self._parser.has_data():
            self._end(StoreFault(UNASKED))
        before = self.ended
        if before is not None:
            raise before
        self._replies, self._due = [], due
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            self._transport.write(request)
            await self._waiter
        except BaseException:
            self.abort()
            raise
        finally:
            self._waiter, self._due = None, 0
            replies, self._replies = self._replies, []
        if self.ended is not None and len(replies) != due:
            raise self.ended
        return replies

    def abort(self) -> None:
        """Close at once; what was not sent is dropped."""
        self._end(StoreFault("the connection was given up"))

    # Called by the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self.ended is not None:
            return
        self._parser.feed(data)
        try:
            while (reply := self._parser.gets()) is not _UNFINISHED:
                self._replies.append(reply)
        except hiredis.ProtocolError as error:
            self._end(StoreFault(f"what answers is no Redis server, or not on this port ({error})"))
            return
        if self._parser.len() > MAX_UNREAD_BYTES:
            self._end(Oversized())
        elif len(self._replies) > self._due:
            self._end(self._fault(UNASKED))
        elif len(self._replies) == self._due:
            self._wake()

    def eof_received(self) -> None:
        self._end(self._fault("the server closed the connection"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(self._fault(f"the connection broke ({exc})" if exc else "the server closed the connection"))
        self.lost.set_result(None)

    def _fault(self, happened: str) -> StoreFault:
        """A server that turns a client away says why first."""
        said = [reply for reply in self._replies if isinstance(reply, hiredis.ReplyError)]
        return failed(str(said[0])) if said else StoreFault(happened)

    def _end(self, reason: Exception) -> None:
        if self.ended is not None:
            return
        self.ended = reason
        self._transport.abort()
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
