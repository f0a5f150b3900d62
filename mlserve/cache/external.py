"""The connections and external tiers of a process, each there as long as a deployment uses it.

A deployment leases the tiers of its datastore and releases them when it closes. Deployments of equal configuration
share one connection and one tier, so a reload that changes neither keeps both, with what is in line for writing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

from mlserve.cache.connection import Connection, all_tried, make_store
from mlserve.cache.tier import Tier, tier_in
from mlserve.config.location import resolve_url
from mlserve.config.redact import redact_url
from mlserve.config.schema import ConnectionConfig, DatastoreConfig, TierConfig
from mlserve.contracts.store import StoreOptions

L1: Final = "l1"
L2: Final = "l2"

_UNITS: Final = {"ms": timedelta(milliseconds=1), "sec": timedelta(seconds=1), "min": timedelta(minutes=1)}

AnyTier = Tier[Any, Any]
_TierKey = tuple[ConnectionConfig, str | None, str | None, bool]


@dataclass(frozen=True, slots=True)
class LeasedTier:
    """A tier in its place in a datastore's chain, and that place's configuration."""

    label: str
    tier: AnyTier
    config: TierConfig


@dataclass(frozen=True, slots=True)
class Lease:
    """Tiers in order, L1 first; :meth:`release` them once, when nobody reads or writes any more."""

    tiers: tuple[LeasedTier, ...]
    release: Callable[[], Awaitable[None]] = field(repr=False)

    async def tried(self, timeout_s: float) -> None:
        """Returns when each of their connections has been tried, or after ``timeout_s``."""
        await all_tried([leased.tier.connection for leased in self.tiers], timeout_s)


@dataclass(slots=True)
class _Held:
    """Something shared, and how many use it."""

    thing: Any
    users: int = 0


class External:
    """One per process. ``base`` is the folder that relative URLs of stores stand for.

    ``came`` and ``went`` are told of connections, for the metrics.
    """

    def __init__(
        self,
        base: str = "",
        came: Callable[[Connection], object] = lambda connection: None,
        went: Callable[[Connection], object] = lambda connection: None,
    ) -> None:
        self._base = base
        self._came = came
        self._went = went
        self._connections: dict[ConnectionConfig, _Held] = {}
        self._tiers: dict[_TierKey, _Held] = {}

    def lease(self, store: DatastoreConfig) -> Lease:
        """The external tiers of ``store``, none if it is disabled. On the event loop."""
        keys = []
        leased = []
        for label, config in _tiers_of(store):
            if config.link is None:
                continue
            key = (config.link, config.namespace, config.dataset, config.keeps_records)
            keys.append(key)
            leased.append(LeasedTier(label, self._tier(key), config))

        async def release() -> None:
            await asyncio.gather(*(self._release(key) for key in keys))

        return Lease(tuple(leased), release)

    @property
    def connections(self) -> list[Connection]:
        """Those in use."""
        return [held.thing for held in self._connections.values()]

    async def tried(self, timeout_s: float) -> None:
        """Returns when every connection in use has been tried, or after ``timeout_s``."""
        await all_tried(self.connections, timeout_s)

    async def flush(self, timeout_s: float) -> int:
        """Waits until everything in line is written, or ``timeout_s``. Answers how many entries are still in line."""
        tiers: list[AnyTier] = [held.thing for held in self._tiers.values()]
        await asyncio.gather(*(tier.writes.flush(timeout_s) for tier in tiers))
        return sum(len(tier.writes) for tier in tiers)

    def _tier(self, key: _TierKey) -> AnyTier:
        held = self._tiers.get(key)
        if held is None:
            link, namespace, dataset, records = key
            held = self._tiers[key] = _Held(tier_in(self._connection(link), namespace, dataset, records=records))
        held.users += 1
        tier: AnyTier = held.thing
        return tier

    def _connection(self, config: ConnectionConfig) -> Connection:
        held = self._connections.get(config)
        if held is None:
            connection = _new_connection(config, self._base)
            held = self._connections[config] = _Held(connection)
            self._came(connection)
            connection.start()
        held.users += 1
        found: Connection = held.thing
        return found

    async def _release(self, key: _TierKey) -> None:
        held = self._tiers[key]
        held.users -= 1
        if held.users:
            return
        del self._tiers[key]
        try:
            await held.thing.close()
        finally:
            await self._release_connection(key[0])

    async def _release_connection(self, config: ConnectionConfig) -> None:
        held = self._connections[config]
        held.users -= 1
        if not held.users:
            del self._connections[config]
            self._went(held.thing)
            await held.thing.close()


def _tiers_of(store: DatastoreConfig) -> Iterator[tuple[str, TierConfig]]:
    if not store.disabled:
        yield L1, store
        if store.l2 is not None:
            yield L2, store.l2


def _new_connection(config: ConnectionConfig, base: str) -> Connection:
    given = config.url or f"aerospike://{config.hostnames}:{config.port}"
    url = resolve_url(base, f"{config.scheme}:{given.partition(':')[2]}")
    return Connection(config.id, redact_url(url), make_store, _options(url, config))


def _options(url: str, config: ConnectionConfig) -> StoreOptions:
    timeout = config.timeout
    if timeout is None:
        return StoreOptions(url)
    unit_s = _UNITS[timeout.unit].total_seconds()
    return StoreOptions(url, connect_timeout_s=timeout.connection * unit_s, read_timeout_s=timeout.total * unit_s)
