"""One external tier: a part of a connection, read in joined round trips and written in the background."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar

from mlserve.cache.connection import Connection
from mlserve.cache.reads import Reads
from mlserve.cache.writes import Took, Writes
from mlserve.contracts.store import Store, StoreFault, Table

FLUSH_S: Final = 5.0

N = TypeVar("N")
V = TypeVar("V")


class TierDown(Exception):
    """The tier may not be asked now; the text says why. It cost nothing."""


class TierFailed(Exception):
    """The tier was asked and did not answer, or not in time."""


class Tier(Generic[N, V]):
    """Shared by the models that name it. ``table_of`` picks the part of the store; :meth:`close` it once."""

    def __init__(self, connection: Connection, table_of: Callable[[Store], Table[N, V]], *, label: str) -> None:
        self.connection = connection
        self.writes: Writes[N, V] = Writes(
            self._write,
            connection.up.wait,
            label=label,
            counts=connection.writes,
            timeout_s=connection.options.write_timeout_s,
        )
        self._table_of = table_of
        self._table: Table[N, V] | None = None
        self._reads: Reads[N, V] | None = None

    async def get_many(self, names: Sequence[N], wait_s: float) -> list[V | None]:
        """What is under ``names``, in line for writing or written. Raises :class:`TierDown`, :class:`TierFailed`."""
        if not self.writes:
            return await self._read(names, wait_s)
        values = [self.writes.get(name) for name in names]
        missing = [place for place, value in enumerate(values) if value is None]
        if missing:
            read = await self._read([names[place] for place in missing], wait_s)
            for place, value in zip(missing, read, strict=True):
                values[place] = value
        return values

    def put(self, name: N, value: V, life_s: float, size: int, took: Took) -> None:
        """In the background. See :meth:`Writes.put`."""
        self.writes.put(name, value, life_s, size, took)

    async def close(self) -> None:
        """Writes what is in line if that is quick, then ends reads and writes. The connection is not closed."""
        await self.writes.flush(FLUSH_S if self.connection.down is None else 0.0)
        await self.writes.close()
        if self._reads is not None:
            await self._reads.close()

    async def _read(self, names: Sequence[N], wait_s: float) -> list[V | None]:
        connection = self.connection
        if connection.down is not None:
            raise TierDown(connection.down)
        store, table = self._opened()
        try:
            if store.at_once:
                values = list(await table.get_many(names))
                connection.succeeded()
                return values
            return await self._joined(store, table).get(names, wait_s)
        except TimeoutError as error:
            raise TierFailed("no answer in time") from error
        except StoreFault as error:
            if store.at_once:
                connection.failed(error)
            raise TierFailed(str(error)) from error

    async def _write(self, items: Sequence[tuple[N, V, float]]) -> None:
        await self._opened()[1].put_many(items)

    def _opened(self) -> tuple[Store, Table[N, V]]:
        store = self.connection.store
        if store is None:
            raise TierDown("not connected yet")
        if self._table is None:
            self._table = self._table_of(store)
        return store, self._table

    def _joined(self, store: Store, table: Table[N, V]) -> Reads[N, V]:
        if self._reads is None:
            self._reads = Reads(
                table.get_many,
                self.connection,
                timeout_s=self.connection.options.read_timeout_s,
                parallel=store.parallel_reads,
            )
        return self._reads
