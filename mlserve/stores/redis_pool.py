"""A few connections to one server, lent for one exchange each."""

from __future__ import annotations

import asyncio
from collections import deque

from mlserve.contracts.store import StoreFault
from mlserve.stores.redis_link import Oversized, Reply
from mlserve.stores.redis_slot import CLOSED, Connect, Slot


class Pool:
    """At most ``size`` connections at once; who comes when all are lent waits, in turn.

    Who leaves an exchange sooner than ``worth_s`` seconds has no quarrel with the server: the link goes on. Who waited
    as long in vain does, and the link ends. No exchange takes longer than ``limit_s``.
    """

    def __init__(self, connect: Connect, size: int, *, limit_s: float, worth_s: float = 0.0) -> None:
        self._limit_s = limit_s
        self._worth_s = worth_s
        self._slots = [Slot(connect) for _ in range(size)]
        self._free = deque(self._slots)
        self._lendable = asyncio.Semaphore(size)
        self._closed = False

    async def exchange(self, request: bytes, due: int) -> list[Reply]:
        """As :meth:`Link.exchange <mlserve.stores.redis_link.Link.exchange>`, after connecting if need be."""
        async with self._lendable:
            if self._closed:
                raise StoreFault(CLOSED)
            slot = self._free.pop()
            try:
                link = await slot.link()
                try:
                    return await link.exchange(request, due, self._limit_s)
                except Oversized:
                    raise
                except asyncio.CancelledError:
                    if asyncio.get_running_loop().time() - link.asked_at >= self._worth_s:
                        slot.drop()
                        self._drop_idle()
                    raise
                except BaseException:
                    self._drop_idle()
                    raise
            finally:
                # The next caller takes the one at the end: one that is connected, and was used last.
                if slot.live:
                    self._free.append(slot)
                else:
                    self._free.appendleft(slot)

    def _drop_idle(self) -> None:
        """What ended one (a server that is gone, or answers no more) has mostly ended all."""
        for slot in self._free:
            slot.drop()

    async def close(self) -> None:
        """Ends all of them, and whoever uses one or waits for one."""
        self._closed = True
        for slot in self._slots:
            await slot.close()
