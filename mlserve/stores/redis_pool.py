"""A few connections to one server, lent for one exchange each."""

from __future__ import annotations

import asyncio
from collections import deque

from mlserve.contracts.store import StoreFault
from mlserve.stores.redis_link import Oversized, Reply
from mlserve.stores.redis_slot import CLOSED, Connect, Slot


class Pool:
    """At most ``size`` connections at once; who comes when all are lent waits, in turn."""

    def __init__(self, connect: Connect, size: int) -> None:
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
                    return await link.exchange(request, due)
                except Oversized:
                    raise
                except BaseException:
                    # What ended one (a server that is gone, or answers no more) has mostly ended all.
                    for other in self._free:
                        other.drop()
                    raise
            finally:
                # The next caller takes the one at the end: one that is connected, and was used last.
                if slot.live:
                    self._free.append(slot)
                else:
                    self._free.appendleft(slot)

    async def close(self) -> None:
        """Ends all of them, and whoever uses one or waits for one."""
        self._closed = True
        for slot in self._slots:
            await slot.close()
