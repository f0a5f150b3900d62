"""The contract of an external tier: bytes outside this process, shared with others, and never to be relied upon.

A store is one file in ``mlserve/stores`` and a row in ``mlserve/registry.py`` for every URL scheme that it takes.
Importing the file must be cheap and must not need the client library: that is imported in :meth:`Store.open`.

Stores hold no policy. Timeouts, breakers, retries, what a value means and when it is too old are the chain's: it
gives bytes and gets bytes, and decodes them with suspicion. Order of calls, all on one event loop: the constructor
(cheap, no I/O) -> ``open`` (again after each failure, until it returns) -> ``entries`` and ``records`` -> any number of
``get_many`` and ``put_many`` at once, ``check`` now and then -> ``close`` once. What ``open`` made is usable after any
failure and after any cancelled call: a connection in an unknown state is thrown away, not used again.

``tests/stores/test_contract.py`` runs over every row of the registry.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final, Protocol, TypeVar

from mlserve.errors import MlserveError

MAX_VALUE_BYTES: Final = 1024 * 1024
"""No entry is larger. A store need not take more, and must not make room for more that it is sent."""

MAX_NAME_BYTES: Final = 500
"""No name is longer: what LMDB takes, and some to spare."""

Bin = str | int | float
"""What a record may hold beside its key."""


class StoreFault(MlserveError):
    """The store, the network or the disk failed. The text says what happened, and what to do where that is known."""


class StoreRefused(StoreFault):
    """The store answers, and does not take this write: out of memory, a replica, a setting. Reads may go on."""


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """What a connection's configuration says to its store. ``size_bytes`` bounds what is ours."""

    url: str = field(repr=False)
    """Absolute, its scheme in small letters; it may hold a password."""
    connect_timeout_s: float = 1.0
    read_timeout_s: float = 0.025
    write_timeout_s: float = 1.0
    size_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """One record of typed bins, and the seconds it has left to live (``None``: for ever)."""

    bins: Mapping[str, Bin]
    ttl_s: float | None


Name = TypeVar("Name", contravariant=True)
Value = TypeVar("Value")


class Table(Protocol[Name, Value]):
    """Values under names. ``Table[bytes, bytes]`` for entries, ``Table[str, Record]`` for records."""

    async def get_many(self, names: Sequence[Name]) -> Sequence[Value | None]:
        """The value under each name, ``None`` where there is none or its time is up; one round trip for all.

        Names may be any bytes, 1 to :data:`MAX_NAME_BYTES` of them, and may repeat. A value of more than
        :data:`MAX_VALUE_BYTES` (somebody else's) answers as ``None`` and costs no memory. A caller may leave at any
        moment, and others hear nothing of it. Raises :class:`StoreFault`.
        """
        ...

    async def put_many(self, items: Sequence[tuple[Name, Value, float]]) -> None:
        """Store (name, value, seconds to live) for each item, in place of what was there; one round trip for all.

        Lives are above 0; a store that counts in whole seconds rounds up, for the value itself knows its end.
        Raises :class:`StoreFault`; some items may then be stored.
        """
        ...


class Store(Protocol):
    """One connection."""

    name: ClassVar[str]
    """As in the registry."""
    at_once: ClassVar[bool]
    """True if ``get_many`` never suspends: it is then called in the request itself, on the event loop."""
    parallel_reads: ClassVar[int]
    """How many ``get_many`` at once are worth while; further reads are joined into the next."""

    def __init__(self, options: StoreOptions) -> None: ...

    async def open(self) -> None:
        """Connect. Raises :class:`StoreFault`, also for a missing package (with the install command)."""
        ...

    async def check(self) -> None:
        """Raises :class:`StoreFault` unless reads work now: the breaker's probe."""
        ...

    def entries(self, namespace: str | None, dataset: str | None) -> Table[bytes, bytes]:
        """The part of the store with these names, for stores that have parts; else all of it."""
        ...

    async def close(self) -> None:
        """Ends everything; what :meth:`Table.put_many` has returned for is kept. Never raises."""
        ...


class RecordStore(Store, Protocol):
    """A store that also keeps typed bins, as mly's clients read them (Aerospike)."""

    def records(self, namespace: str | None, dataset: str | None) -> Table[str, Record]:
        """As :meth:`Store.entries`. ``put_many`` replaces a record whole; ``Record.ttl_s`` is not looked at there."""
        ...
