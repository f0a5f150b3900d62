"""One external tier: a part of a connection, read in joined round trips and written in the background."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any, Final, Generic, TypeVar, cast

from mlserve.cache.connection import Connection, reason_of
from mlserve.cache.reads import Reads
from mlserve.cache.writes import Took, Writes
from mlserve.contracts.store import Record, RecordStore, Store, StoreFault, Table

FLUSH_S: Final = 2.0

N = TypeVar("N")
V = TypeVar("V")


class TierDown(Exception):
    """The tier may not be asked now; the text says why. It cost nothing."""


class TierFailed(Exception):
    """The tier was asked and did not answer, or not in time."""


class Tier(Generic[N, V]):
    """Shared by the models that name it. ``table_of`` picks the part of the store; :meth:`close` it once.

    ``label`` names it in the log.
    """

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
        self._label = label
        self._table: Table[N, V] | None = None
        self._reads: Reads[N, V] | None = None

    def get_many(self, names: Sequence[N], wait_s: float) -> Awaitable[Sequence[V | None]]:
        """What is under ``names``, in line for writing or written. Raises :class:`TierDown` and :class:`TierFailed`."""
        return self._read_beside_line(names, wait_s) if self.writes else self._read(names, wait_s)

    def put(self, name: N, value: V, life_s: float, size: int, took: Took) -> None:
        """In the background. See :meth:`Writes.put`."""
        self.writes.put(name, value, life_s, size, took)

    async def close(self) -> None:
        """Writes what is in line if that is quick, then ends reads and writes. The connection is not closed."""
        async with AsyncExitStack() as closing:  # whatever comes in between: nothing is left behind
            if self._reads is not None:
                closing.push_async_callback(self._reads.close)
            closing.push_async_callback(self.writes.close)
            await self.writes.flush(FLUSH_S if self.connection.down is None else 0.0)

    async def _read_beside_line(self, names: Sequence[N], wait_s: float) -> Sequence[V | None]:
        values = list(map(self.writes.get, names))
        missing = [place for place, value in enumerate(values) if value is None]
        if missing:
            read = await self._read([names[place] for place in missing], wait_s)
            for place, value in zip(missing, read, strict=True):
                values[place] = value
        return values

    async def _read(self, names: Sequence[N], wait_s: float) -> Sequence[V | None]:
        connection = self.connection
        store = connection.store
        if connection.down is not None or store is None:
            raise TierDown(connection.down)
        try:
            if not store.at_once:
                return await (self._reads or self._joined(store)).get(names, wait_s)
            values = await self._fetch(names)
        except Exception as error:  # whatever a store raises, it costs no answer; the connection tells of it
            if store.at_once:
                connection.failed(error)
            raise TierFailed(reason_of(error)) from error
        connection.succeeded()
        return values

    async def _fetch(self, names: Sequence[N]) -> Sequence[V | None]:
        values = await (self._table or self._opened()).get_many(names)
        if len(values) != len(names):
            raise StoreFault(f"the store answered {len(values)} values for {len(names)} names")
        return values

    async def _write(self, items: Sequence[tuple[N, V, float]]) -> None:
        await (self._table or self._opened()).put_many(items)

    def _opened(self) -> Table[N, V]:
        """Raises what ``table_of`` raises: the store may have no such part."""
        if self.connection.store is None:
            raise StoreFault("not connected yet")
        self._table = self._table_of(self.connection.store)
        return self._table

    def _joined(self, store: Store) -> Reads[N, V]:
        self._reads = Reads(
            self._fetch,
            self.connection,
            label=self._label,
            timeout_s=self.connection.options.read_timeout_s,
            parallel=store.parallel_reads,
        )
        return self._reads


def tier_in(connection: Connection, namespace: str | None, dataset: str | None, *, records: bool) -> Tier[Any, Any]:
    """The part of ``connection`` with these names: its records of typed bins, or its entries of bytes."""

    def entries_of(store: Store) -> Table[bytes, bytes]:
        return store.entries(namespace, dataset)

    def records_of(store: Store) -> Table[str, Record]:
        return cast("RecordStore", store).records(namespace, dataset)

    label = f"connection {connection.id}"
    return Tier(connection, records_of, label=label) if records else Tier(connection, entries_of, label=label)
