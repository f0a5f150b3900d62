"""A namespace and set of Aerospike as the chain reads and writes it: names to keys, outcomes to values."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from mlserve.contracts.store import Record, StoreFault, StoreRefused
from mlserve.stores.aerospike_bins import ENTRY_BIN, Key, Row, is_text, unfit

if TYPE_CHECKING:
    from mlserve.stores.aerospike_session import Session

READERS: Final = 4
"""More threads read hardly more: 22,000 records a second with one, 63,000 with four, 75,000 with sixteen."""
RECORDS_PER_READER: Final = 8
"""For fewer, another thread is not worth its while."""

T = TypeVar("T")


class Run(Protocol):
    """Has a thread call ``call``; it never begins if the future is cancelled first. Raises :class:`StoreFault`."""

    def __call__(self, call: Callable[[Session], T]) -> asyncio.Future[T]: ...


@dataclass(frozen=True, slots=True)
class Part:
    """A namespace and one of its sets."""

    namespace: str
    dataset: str

    def key(self, name: str | bytearray) -> Key:
        return self.namespace, self.dataset, name


class Entries:
    """``Table[bytes, bytes]``: one bin, under the name as a key of bytes of which the server keeps the digest only."""

    def __init__(self, part: Part, reading: Run, writing: Run) -> None:
        self._part = part
        self._reading = reading
        self._writing = writing

    async def get_many(self, names: Sequence[bytes]) -> list[bytes | None]:
        distinct = list(dict.fromkeys(names))
        if not distinct:
            return []
        keys = [self._part.key(bytearray(name)) for name in distinct]
        found = _settled(distinct, await self._reading(lambda session: session.entries(keys)))
        return [found[name] for name in names]

    async def put_many(self, items: Sequence[tuple[bytes, bytes, float]]) -> None:
        last = {name: Row(self._part.key(bytearray(name)), {ENTRY_BIN: value}, ttl_s) for name, value, ttl_s in items}
        if last:
            await self._writing(lambda session: session.write(list(last.values())))


class Records:
    """``Table[str, Record]``: the record whose user key is the name, stored with it.

    A name that the client cannot send has no record; to store one, or bins that are out of bounds, is refused.
    """

    def __init__(self, part: Part, reading: Run, writing: Run) -> None:
        self._part = part
        self._reading = reading
        self._writing = writing

    async def get_many(self, names: Sequence[str]) -> list[Record | None]:
        distinct = [name for name in dict.fromkeys(names) if is_text(name)]
        if not distinct:
            return [None] * len(names)
        strides = min(READERS, -(-len(distinct) // RECORDS_PER_READER))
        parts = [distinct[first::strides] for first in range(strides)]
        outcomes = await asyncio.gather(*map(self._read, parts))
        together = [name for part in parts for name in part]
        found = _settled(together, [outcome for part in outcomes for outcome in part])
        return [found.get(name) for name in names]

    async def put_many(self, items: Sequence[tuple[str, Record, float]]) -> None:
        last = {name: (record.bins, ttl_s) for name, record, ttl_s in items}
        reasons = {name: unfit(name, bins) for name, (bins, _) in last.items()}
        rows = [
            Row(self._part.key(name), bins, ttl_s, named=True)
            for name, (bins, ttl_s) in last.items()
            if reasons[name] is None
        ]
        if rows:
            await self._writing(lambda session: session.write(rows))
        if refused := [reason for reason in reasons.values() if reason is not None]:
            raise StoreRefused(f"{len(refused)} of {len(last)} records cannot be in Aerospike: {refused[0]}")

    def _read(self, names: Sequence[str]) -> asyncio.Future[list[Record | StoreFault | None]]:
        keys = [self._part.key(name) for name in names]
        return self._reading(lambda session: session.records(keys))


N = TypeVar("N")


def _settled(names: Sequence[N], outcomes: Sequence[T | StoreFault | None]) -> dict[N, T | None]:
    """What was found; where one node of many does not answer, a miss. Raises if there is nothing but faults."""
    faults = [outcome for outcome in outcomes if isinstance(outcome, StoreFault)]
    if len(faults) == len(outcomes):
        raise faults[0]
    values = [None if isinstance(outcome, StoreFault) else outcome for outcome in outcomes]
    return dict(zip(names, values, strict=True))
