"""The external tiers of one deployment, L1 before L2: a multi-get in each, promotion upward, write-through downward."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from time import monotonic, time
from typing import Any, Final, TypeVar

from mlserve.cache.layout import Layout
from mlserve.cache.portions import portions
from mlserve.cache.used_tier import Held, Names, Observe, ObserveSeconds, TierUse, Unavailable, UsedTier
from mlserve.types import Rows

T = TypeVar("T")


class OuterTiers:
    """Pure policy over tiers that others own. ``clock`` is Unix time in seconds; deadlines count as ``since`` does."""

    def __init__(
        self,
        uses: Sequence[TierUse],
        *,
        observe: Observe = lambda tier, result, rows: None,
        observe_seconds: ObserveSeconds = lambda tier, op, seconds: None,
        clock: Callable[[], float] = time,
        since: Callable[[], float] = monotonic,
    ) -> None:
        self.uses: Final = tuple(uses)
        self._tiers = [UsedTier(use, observe, observe_seconds, clock, since) for use in uses]
        self.writable: Final = any(not use.read_only for use in uses)

    @property
    def arrivals(self) -> int:
        """While it stays the same, :meth:`in_line` has nothing that :meth:`look_up` did not find."""
        return sum([use.tier.writes.arrivals for use in self.uses])

    def skipped(self, rows: int) -> None:
        """A request whose rows are not looked up here."""
        for tier in self._tiers:
            tier.skipped(rows)

    async def look_up(
        self, keys: Sequence[bytes], rows: Rows, places: Sequence[int], deadline: float
    ) -> AsyncIterator[Held]:
        """What the tiers hold for the ``keys`` at ``places``, bit by bit; ``rows`` are those of all keys.

        A tier that does not answer is asked no more: one request does not wait for it twice. Waits no longer than
        ``deadline``.
        """
        silent: set[UsedTier] = set()
        for some in portions(places):
            if some[0] != places[0]:
                await asyncio.sleep(0)
            batch = _Batch(_at(keys, some), rows if len(some) == len(keys) else rows.take(some))
            for held in await self._look_up(batch, silent, deadline):
                yield held.moved(some)

    async def look_up_one(self, key: bytes, row: Rows, deadline: float) -> Held | None:
        """As :meth:`look_up` of a single row."""
        for depth, tier in enumerate(self._tiers):
            try:
                held = await tier.read_one(key, row, deadline)
            except Unavailable:
                continue
            if held is not None:
                if depth:
                    self._promote(depth, _Batch((key,), row), held)
                return held
        return None

    def in_line(self, keys: Sequence[bytes], rows: Rows, places: Sequence[int]) -> list[Held]:
        """What waits to be written of the ``keys`` at ``places``, without a wait. Counts nothing."""
        found: list[Held] = []
        for tier in self._tiers:
            if places and tier.has_line:
                wanted = _at(keys, places)
                held = tier.in_line(wanted, rows if len(places) == len(keys) else rows.take(places))
                if held is not None:
                    found.append(held.moved(places))
                    places = _without(places, found[-1].places)
        return found

    def store(self, keys: Sequence[bytes], rows: Rows, payloads: Sequence[bytes], shares: Sequence[float]) -> None:
        """Write answers through to every tier, each for that share of the tier's life (at most 1)."""
        batch = _Batch(keys, rows)
        for tier in self._tiers:
            if not tier.read_only:
                tier.write(keys, batch.names(tier.layout), payloads, [tier.ttl_s * share for share in shares])

    async def peek(self, key: bytes, row: Rows, deadline: float) -> dict[str, dict[str, object]]:
        """For ``explain``: what each tier holds under one key. Counts nothing."""
        return {tier.label: await tier.state(key, row, deadline) for tier in self._tiers}

    async def _look_up(self, batch: _Batch, silent: set[UsedTier], deadline: float) -> list[Held]:
        found: list[Held] = []
        left: Sequence[int] = range(len(batch.keys))
        for depth, tier in enumerate(self._tiers):
            if tier in silent:
                tier.skipped(len(left))
                continue
            try:
                held = await tier.read(_at(batch.keys, left), _at(batch.names(tier.layout), left), deadline)
            except Unavailable:
                silent.add(tier)
                continue
            if held is None:
                continue
            held = held.moved(left)
            self._promote(depth, batch, held)
            found.append(held)
            left = _without(left, held.places)
            if not left:
                break
        return found

    def _promote(self, depth: int, batch: _Batch, held: Held) -> None:
        for upper in self._tiers[:depth]:
            if not upper.read_only:
                names = _at(batch.names(upper.layout), held.places)
                lives_s = [min(upper.ttl_s, life_s) for life_s in held.lives_s]
                upper.write(_at(batch.keys, held.places), names, held.payloads, lives_s)


class _Batch:
    """Rows that are looked up together, with what each layout calls them: tiers of one layout share the names."""

    __slots__ = ("_names", "_rows", "keys")

    def __init__(self, keys: Sequence[bytes], rows: Rows) -> None:
        self.keys = keys
        self._rows = rows
        self._names: dict[int, Names] = {}

    def names(self, layout: Layout[Any, Any]) -> Names:
        names = self._names.get(id(layout))
        if names is None:
            names = self._names[id(layout)] = layout.names(self.keys, self._rows)
        return names


def _at(values: Sequence[T], places: Sequence[int]) -> Sequence[T]:
    """``values`` at ``places``, which are in order and each given once."""
    return values if len(places) == len(values) else [values[place] for place in places]


def _without(places: Sequence[int], gone: Sequence[int]) -> Sequence[int]:
    if len(gone) == len(places):
        return ()
    known = set(gone)
    return [place for place in places if place not in known]


NO_TIERS: Final = OuterTiers(())
