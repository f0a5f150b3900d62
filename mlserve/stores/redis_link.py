"""One connection to a Redis server: requests out, replies in, and no trust left after the first mishap.

A caller may leave: the replies that it no longer waits for are read all the same, and the link is ready again. Only
whoever has waited long enough for them should end it.

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
    """Made by :func:`mlserve.stores.redis_connect.connect`. One :meth:`exchange` at a time, while :attr:`ready`."""

    def __init__(self) -> None:
        self.ended: Exception | None = None
        """Why it can be used no more."""
        self.asked_at = 0.0
        """When the last exchange began, as the loop's clock tells it."""
        self._loop = asyncio.get_running_loop()
        self.lost = self._loop.create_future()
        """Done when the socket is closed."""
        self._parser = hiredis.Reader(notEnoughData=_UNFINISHED)
        self._replies: list[Reply] = []
        self._due = 0
        self._waiter: asyncio.Future[list[Reply]] | None = None
        self._limit_s = 0.0
        self._watch: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport

    @property
    def ready(self) -> bool:
        """False once it has ended, and as long as replies are due."""
        return self.ended is None and not self._due

    async def encrypt(self, context: ssl.SSLContext, host: str) -> None:
        """TLS from here on; before the first exchange. Raises :class:`OSError`."""
        transport = await self._loop.start_tls(self._transport, self, context, server_hostname=host)
        if transport is None:
            raise ConnectionAbortedError("the server closed the connection")
        self._transport = transport

    async def exchange(self, request: bytes, due: int, limit_s: float) -> list[Reply]:
        """The ``due`` replies to ``request``, at least one. They come within ``limit_s``, whoever waits for them.

        If the caller is cancelled, they are still due. Raises :class:`StoreFault` and :class:`Oversized`, and then the
        link has ended.
        """
        if self._parser.has_data():
            self._end(StoreFault(UNASKED))
        if self.ended is not None:
            raise self.ended
        self._due = due
        self.asked_at = self._loop.time()
        self._limit_s = limit_s
        if self._watch is None:
            self._watch = self._loop.call_at(self.asked_at + limit_s, self._look)
        self._waiter = self._loop.create_future()
        self._transport.write(request)
        return await self._waiter

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
        elif self._due and len(self._replies) == self._due:
            self._answer()

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
        if self._watch is not None:
            self._watch.cancel()
        self._transport.abort()
        if self._due and self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(reason)

    def _look(self) -> None:
        """One timer for many exchanges: one for each would cost a tenth of a read."""
        self._watch = None
        if self._due:
            ends_at = self.asked_at + self._limit_s
            if self._loop.time() >= ends_at:
                self._end(StoreFault(f"no answer in {self._limit_s:g} s"))
            else:
                self._watch = self._loop.call_at(ends_at, self._look)

    def _answer(self) -> None:
        replies, self._replies, self._due = self._replies, [], 0
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(replies)
