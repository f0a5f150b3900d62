"""The place of one connection, which is made when it is wanted and made again after it has ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Final

from mlserve.contracts.store import StoreFault
from mlserve.stores.redis_link import Link

CLOSED: Final = "the connection is closed"

Connect = Callable[[], Coroutine[None, None, Link]]
"""Makes one, within a deadline of its own, or raises :class:`StoreFault`."""


class Slot:
    """Used by one caller of :class:`~mlserve.stores.redis_pool.Pool` at a time.

    Connecting goes on when the caller leaves: a read has milliseconds, and what takes longer than that to connect
    (TLS, a far network) would never be connected again.
    """

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._connecting: asyncio.Task[Link] | None = None
        self._link: Link | None = None

    @property
    def live(self) -> bool:
        """True if :meth:`link` need not connect."""
        return self._link is not None and self._link.ready

    async def link(self) -> Link:
        """One that is ready, as far as is known. Raises :class:`StoreFault`.

        One that still owes replies to somebody who left is given up: it is lent when all others are in use.
        """
        if self._link is not None:
            if self._link.ready:
                return self._link
            self._link.abort()
        if self._connecting is None:
            self._connecting = asyncio.create_task(self._connect(), name="connect to Redis")
            self._connecting.add_done_callback(self._connected)
        task = self._connecting
        await asyncio.wait([task])
        if task.cancelled():
            raise StoreFault(CLOSED)
        return task.result()

    def drop(self) -> None:
        """Abort the link, if there is one."""
        if self._link is not None:
            self._link.abort()

    async def close(self) -> None:
        """Ends the link and what connects, and whoever waits for them."""
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.wait([self._connecting])
        if self._link is not None:
            self._link.abort()
            await asyncio.wait([self._link.lost])

    def _connected(self, task: asyncio.Task[Link]) -> None:
        self._connecting = None
        if not task.cancelled() and task.exception() is None:
            self._link = task.result()
