"""The runs that one chain has in progress, by key."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence

from mlserve.cache.flight import Flight, Store
from mlserve.types import Context, Predict, Rows

Joinable = Callable[[Flight], bool]
"""Whether a request may wait for this run of others."""


def any_flight(flight: Flight) -> bool:
    return True


def no_flight(flight: Flight) -> bool:
    return False


class OnlyOf:
    """A :data:`Joinable`: those that compute nothing but ``keys``, so that whatever fails in them is ours."""

    def __init__(self, keys: Collection[bytes]) -> None:
        self._keys = frozenset(keys)
        self._known: dict[Flight, bool] = {}

    def __call__(self, flight: Flight) -> bool:
        known = self._known.get(flight)
        if known is None:
            known = self._known[flight] = flight.place_of.keys() <= self._keys
        return known


class Flights:
    """Each key belongs to the latest flight that was started for it, until that lands."""

    def __init__(self, predict: Predict, store: Store) -> None:
        self._predict = predict
        self._store = store
        self._by_key: dict[bytes, Flight] = {}
        self._running: set[Flight] = set()
        self._all_landed: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        """How many keys are being computed."""
        return len(self._by_key)

    def of(self, key: bytes, joinable: Joinable) -> Flight | None:
        """The one that computes ``key``, if it is ``joinable``."""
        flight = self._by_key.get(key)
        return None if flight is None or not joinable(flight) else flight

    def owned(self, flight: Flight, keys: Sequence[bytes]) -> list[int]:
        """The places of those of ``keys`` that no later flight has taken over."""
        by_key = self._by_key
        return [place for place, key in enumerate(keys) if by_key.get(key) is flight]

    def start(self, keys: list[bytes], rows: Rows, context: Context) -> Flight:
        """A flight for ``keys``, which are ``rows`` in their order and each given once. It may be answered already."""
        flight = Flight(keys, rows, context, store=self._store, landed=self._land)
        if len(keys) == 1:
            self._by_key[keys[0]] = flight
        else:
            self._by_key.update(dict.fromkeys(keys, flight))
        self._running.add(flight)
        flight.depart(self._predict)
        return flight

    async def landed(self) -> None:
        """Returns when all have landed, those that outlived their callers among them."""
        while self._running:
            self._all_landed = asyncio.get_running_loop().create_future()
            await self._all_landed

    def _land(self, flight: Flight) -> None:
        by_key = self._by_key
        for key in flight.keys:
            if by_key.get(key) is flight:
                del by_key[key]
        if flight.landed:
            self._running.discard(flight)
            if not self._running and self._all_landed is not None and not self._all_landed.done():
                self._all_landed.set_result(None)
