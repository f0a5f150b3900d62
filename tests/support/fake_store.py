"""A store in memory that can be told to misbehave."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import ClassVar

from mlserve.cache.connection import Connection
from mlserve.contracts.store import StoreFault, StoreOptions, StoreRefused
from tests.support import virtual_time


class FakeStore:
    """See :class:`~mlserve.contracts.store.Store`. Everything that is asked of it is written down."""

    name: ClassVar[str] = "fake"

    def __init__(self, *, at_once: bool = False, parallel_reads: int = 1) -> None:
        self.at_once = at_once  # type: ignore[misc]  # a class variable of real stores
        self.parallel_reads = parallel_reads  # type: ignore[misc]
        self.held: dict[bytes, bytes] = {}
        self.lives: dict[bytes, float] = {}
        self.reads: list[list[bytes]] = []
        self.writes: list[list[bytes]] = []
        self.opened = 0
        self.checked = 0
        self.closed = False
        self.down: str | None = None
        """The fault of everything, while set."""
        self.refusal: str | None = None
        self.delay_s = 0.0
        self.gate: asyncio.Event | None = None
        """Reads wait for it, while set."""

    async def open(self) -> None:
        self.opened += 1
        await self._answer()

    async def check(self) -> None:
        self.checked += 1
        await self._answer()

    def entries(self, namespace: str | None, dataset: str | None) -> FakeStore:
        return self

    async def get_many(self, names: Sequence[bytes]) -> list[bytes | None]:
        self.reads.append(list(names))
        if self.gate is not None:
            await self.gate.wait()
        await self._answer()
        return [self.held.get(name) for name in names]

    async def put_many(self, items: Sequence[tuple[bytes, bytes, float]]) -> None:
        self.writes.append([name for name, _, _ in items])
        await self._answer()
        if self.refusal is not None:
            raise StoreRefused(self.refusal)
        for name, value, life_s in items:
            self.held[name] = value
            self.lives[name] = life_s

    async def close(self) -> None:
        self.closed = True

    async def _answer(self) -> None:
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        if self.down is not None:
            raise StoreFault(self.down)


OPTIONS = StoreOptions("fake:", connect_timeout_s=1.0, read_timeout_s=0.025, write_timeout_s=1.0)


def connected(store: FakeStore, clock: Callable[[], float] = virtual_time.clock) -> Connection:
    """A connection to ``store`` that has begun to connect. Close it."""

    async def make(options: StoreOptions) -> FakeStore:
        return store

    connection = Connection("shared", "fake://host", make, OPTIONS, clock=clock)
    connection.start()
    return connection
