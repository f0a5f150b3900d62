"""The shared tiers that servers write and this client reads: connections of its owner's, in the server's own layouts.

A tier that is slow, down or wrong costs a bounded wait, then nothing: the server is asked instead.
"""

from __future__ import annotations

import logging
from typing import Any, Final
from urllib.parse import urlsplit

from mlserve import registry
from mlserve.cache.connection import Connection, all_tried, make_store
from mlserve.cache.layout import Layout
from mlserve.cache.mly import MlyLayout, unfit
from mlserve.cache.native import NativeLayout
from mlserve.cache.outer import OuterTiers
from mlserve.cache.tier import Tier, tier_in
from mlserve.cache.used_tier import TierUse
from mlserve.client.address import without_secrets
from mlserve.client.description import Description, TierPlace
from mlserve.client.options import Cache
from mlserve.contracts.store import StoreOptions

logger = logging.getLogger(__name__)

FIRST_TRY_S: Final = 1.0
"""The longest that the first call of a model waits for connections; later ones go without those that are not up."""

_OF_A_SERVER: Final = ("lmdb", "memory")
"""Stores that one process owns alone."""


class SharedTiers:
    """Raises :class:`ValueError` for a URL that no client can use. On one event loop; :meth:`close` it once."""

    def __init__(self, cache: Cache) -> None:
        for connection, url in cache.tiers.items():
            _check(connection, url)
        self._cache = cache
        self._connections: dict[str, Connection] = {}
        self._tiers: dict[tuple[str, str | None, str | None, bool], Tier[Any, Any]] = {}

    def of(self, description: Description) -> OuterTiers:
        """Those of a version that the owner has given; connects to them in the background."""
        wanted = {"l1": self._cache.l1, "l2": self._cache.l2}
        known = {place.connection for place in description.tiers}
        for connection in sorted(self._cache.tiers.keys() - known) if known else ():
            logger.info(
                "no tier of this model is in connection %r; there are: %s", connection, ", ".join(sorted(known))
            )
        places = [it for it in description.tiers if wanted.get(it.label) and it.connection in self._cache.tiers]
        return OuterTiers([self._use(place, description) for place in places if _fits(place, description)])

    async def tried(self) -> None:
        """Returns when every connection has been tried once, or after :data:`FIRST_TRY_S`."""
        await all_tried(self._connections.values(), FIRST_TRY_S)

    async def close(self) -> None:
        """Ends reads and connections; what was to be copied upward is written if that is quick."""
        for tier in self._tiers.values():
            await tier.close()
        for connection in self._connections.values():
            await connection.close()

    def _use(self, place: TierPlace, description: Description) -> TierUse:
        layout: Layout[Any, Any] = NativeLayout()
        if place.records:
            layout = MlyLayout(description.interface, longest_life_s=place.ttl_s)
        read_only = not (self._cache.promote and place.label == "l1")
        return TierUse(place.label, self._tier(place), layout, place.ttl_s, read_only)

    def _tier(self, place: TierPlace) -> Tier[Any, Any]:
        key = (place.connection, place.namespace, place.dataset, place.records)
        tier = self._tiers.get(key)
        if tier is None:
            tier = self._tiers[key] = tier_in(
                self._connection(place.connection), place.namespace, place.dataset, records=place.records
            )
        return tier

    def _connection(self, connection_id: str) -> Connection:
        found = self._connections.get(connection_id)
        if found is None:
            url = self._cache.tiers[connection_id]
            shown = urlsplit(without_secrets(url))._replace(query="", fragment="").geturl()
            found = self._connections[connection_id] = Connection(connection_id, shown, make_store, StoreOptions(url))
            found.start()
        return found


def _fits(place: TierPlace, description: Description) -> bool:
    return not place.records or unfit(description.interface) is None


def _check(connection: str, url: str) -> None:
    scheme = url.partition(":")[0]
    usable = [name for name in registry.names("stores") if name not in _OF_A_SERVER]
    if scheme not in usable:
        raise ValueError(f"tier {connection!r}: expected a URL that begins with {', '.join(usable)}; got {scheme!r}")
