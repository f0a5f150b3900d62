"""One configured connection to a store, and the breaker that keeps its troubles from the requests.

A connection is *up* or *down*. It starts down, and while it is down nobody asks it anything: a task of its own tries
until the store answers a probe as quickly as a request would need it, ever more rarely. Readers tell it how their reads
went; the third failure in a row takes it down. So a store that hangs costs the few requests that found out one timeout
each, and those after them nothing. Absent at start is down like any other.

One line of the log per change of state.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from time import monotonic
from typing import Final

from mlserve import registry
from mlserve.cache.ending import end
from mlserve.cache.patience import Patient
from mlserve.cache.writes import WriteCounts
from mlserve.contracts.store import Store, StoreFault, StoreOptions

logger = logging.getLogger(__name__)

FAILURES: Final = 3
"""In a row: one may be chance, and each costs a request the read timeout."""
FIRST_RETRY_S: Final = 0.25
LONGEST_RETRY_S: Final = 10.0
STEADY_S: Final = 10.0
"""A store that fails again sooner than this after it came back is tried ever more rarely."""
CLOSE_S: Final = 5.0

MakeStore = Callable[[StoreOptions], Awaitable[Store]]
"""Makes one that is not open yet; may import a package."""


class Connection:
    """Made by :class:`~mlserve.cache.datastores.Datastores`; :meth:`start` it on the loop, :meth:`close` it once.

    ``shown`` is its address without secrets, for the log.
    """

    def __init__(
        self,
        connection_id: str,
        shown: str,
        make: MakeStore,
        options: StoreOptions,
        *,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.id = connection_id
        self.options = options
        self.down: str | None = "not connected yet"
        """Why it may not be asked; ``None`` while it is up."""
        self.up = asyncio.Event()
        self.tried = asyncio.Event()
        """Set once the first attempt to connect has ended, well or not."""
        self.writes = WriteCounts()
        self.store: Store | None = None
        """There since it was up for the first time."""
        self.shown = shown
        self._make = make
        self._clock = clock
        self._failures = 0
        self._retry_s = FIRST_RETRY_S
        self._changed_at = clock()
        self._told_down = False
        self._recovery: asyncio.Task[None] | None = None
        self._closed = False

    def start(self) -> None:
        """Begin to connect, in the background."""
        self._recovery = asyncio.create_task(self._recover(), name=f"connect {self.id}")

    def succeeded(self) -> None:
        """A read was answered."""
        self._failures = 0

    def failed(self, error: Exception) -> None:
        """A read was not answered, or too late."""
        self._failures += 1
        if not isinstance(error, (StoreFault, TimeoutError)):
            logger.error("connection %s: unexpected failure of a read", self.id, exc_info=error)
        if self._failures >= FAILURES and self.down is None:
            self._go_down(reason_of(error))

    async def close(self) -> None:
        """Ends the attempts and the store."""
        self._closed = True
        self.down = "closed"
        self.up.clear()
        self.tried.set()
        if self._recovery is not None:
            await end([self._recovery], f"connection {self.id}")
        if self.store is not None:
            await self._close(self.store)

    def _go_down(self, reason: str) -> None:
        if self._closed:
            return
        steady = self._clock() - self._changed_at >= STEADY_S
        self._retry_s = FIRST_RETRY_S if steady else min(self._retry_s * 2, LONGEST_RETRY_S)
        self._changed_at = self._clock()
        self.down = reason
        self.up.clear()
        self._tell_down(reason)
        self._recovery = asyncio.create_task(self._recover(), name=f"reconnect {self.id}")

    def _tell_down(self, reason: str) -> None:
        self._told_down = True
        logger.warning("connection %s (%s) is down: %s; answers come without it", self.id, self.shown, reason)

    async def _recover(self) -> None:
        # What was there before is not asked again in the same instant; what never was, at once.
        if self.store is not None:
            await asyncio.sleep(self._retry_s)
        while True:
            try:
                await self._try()
            except Exception as error:
                self.down = reason_of(error)
                if not self._told_down:
                    if not isinstance(error, (StoreFault, TimeoutError)):
                        logger.exception("connection %s: unexpected failure", self.id)
                    self._tell_down(self.down)
                self.tried.set()
            else:
                self._come_up()
                return
            await asyncio.sleep(self._retry_s)
            self._retry_s = min(self._retry_s * 2, LONGEST_RETRY_S)

    async def _try(self) -> None:
        if self.store is None:
            store = await self._make(self.options)
            try:
                async with asyncio.timeout(2 * self.options.connect_timeout_s):
                    await store.open()
            except BaseException:
                await self._close(store)
                raise
            self.store = store
        async with Patient(self.options.read_timeout_s):
            await self.store.check()

    async def _close(self, store: Store) -> None:
        try:
            async with asyncio.timeout(CLOSE_S):
                await store.close()
        except TimeoutError:
            logger.warning("connection %s (%s) did not close in %g s", self.id, self.shown, CLOSE_S)

    def _come_up(self) -> None:
        for_s = self._clock() - self._changed_at
        self._changed_at = self._clock()
        self._failures = 0
        self.down = None
        self.up.set()
        self.tried.set()
        if self._told_down:
            logger.info("connection %s (%s) works again after %.1f s", self.id, self.shown, for_s)
        else:
            logger.info("connection %s (%s) is up", self.id, self.shown)
        self._told_down = False


def reason_of(error: Exception) -> str:
    """Why a call of a store failed, in words for a person."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return str(error) or type(error).__name__


async def make_store(options: StoreOptions) -> Store:
    """The store that the scheme of ``options.url`` names; a :data:`MakeStore`. Raises :class:`LookupError`."""
    kind = await asyncio.to_thread(registry.resolve, "stores", options.url.partition(":")[0])  # imports its module
    store: Store = kind(options)
    return store


async def all_tried(connections: Iterable[Connection], timeout_s: float) -> None:
    """Returns when each of them has been tried, or after ``timeout_s``."""
    with suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            for connection in connections:
                await connection.tried.wait()
