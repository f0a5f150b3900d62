"""One external tier as one deployment uses it: values are read with suspicion, and answers written behind.

Whatever goes wrong is a miss, counted by what it was, and never an error of the request.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from mlserve.cache.layout import Damaged, Expired, Layout, Stale, Stored
from mlserve.cache.merge import Unjoinable
from mlserve.cache.payload import NotDecodable, decode
from mlserve.cache.readable import readable
from mlserve.cache.tier import Tier, TierDown, TierFailed
from mlserve.types import Rows

logger = logging.getLogger(__name__)

SHARE: Final = 0.5
"""Of the time that a request has left: no tier takes more, or one that hangs would leave none for the model."""

Observe = Callable[[str, str, int], None]
"""Told (tier, result, rows) of every lookup: ``hit miss expired stale error skipped``. They add up to its rows."""
ObserveSeconds = Callable[[str, str, float], None]
"""Told (tier, ``get`` or ``put``, seconds) of every round trip."""
Names = Sequence[Any | None]
"""What a layout calls rows by; ``None`` for a row that has no place in it."""


@dataclass(frozen=True, slots=True)
class TierUse:
    """How one datastore uses a tier. ``label`` is ``l1`` or ``l2``; ``layout`` is the deployment's own."""

    label: str
    tier: Tier[Any, Any]
    layout: Layout[Any, Any]
    ttl_s: float
    read_only: bool


class Held(NamedTuple):
    """What a tier had: rows, the place of each among those asked for, its payload, and what is left of its life."""

    label: str
    rows: Rows
    places: Sequence[int]
    payloads: Sequence[bytes]
    lives_s: Sequence[float]

    def moved(self, places: Sequence[int]) -> Held:
        """The same among more rows, of which those asked for were at ``places``."""
        if len(self.places) == len(places):
            return self if self.places == places else self._replace(places=places)
        return self._replace(places=[places[place] for place in self.places])


class Unavailable(Exception):
    """The tier was not asked, or did not answer: asking again in the same request is of no use."""


class UsedTier:
    """``clock`` is Unix time in seconds: entries outlive processes. Deadlines count as ``since`` does."""

    def __init__(
        self,
        use: TierUse,
        observe: Observe,
        observe_seconds: ObserveSeconds,
        clock: Callable[[], float],
        since: Callable[[], float],
    ) -> None:
        self.label: Final = use.label
        self.layout: Final = use.layout
        self.ttl_s: Final = use.ttl_s
        self.read_only: Final = use.read_only
        self._tier = use.tier
        self._observe = observe
        self._observe_seconds = observe_seconds
        self._clock = clock
        self._since = since

    @property
    def has_line(self) -> bool:
        """True if anything waits to be written, and could be read."""
        return self.layout.written_only is None and len(self._tier.writes) > 0

    def skipped(self, rows: int) -> None:
        """Rows that are not looked up here."""
        self._observe(self.label, "skipped", rows)

    async def read(self, keys: Sequence[bytes], names: Names, deadline: float) -> Held | None:
        """What the tier has for ``keys``, which the layout calls ``names``; ``None`` for nothing.

        Raises :class:`Unavailable` and :class:`~mlserve.cache.merge.Unjoinable`.
        """
        if self.layout.written_only is not None:
            self.skipped(len(keys))
            return None
        asked = [name for name in names if name is not None]
        if len(asked) < len(keys):
            self.skipped(len(keys) - len(asked))
            return await self._read_named(keys, names, deadline) if asked else None
        return self._opened(keys, await self._values(asked, deadline))

    async def read_one(self, key: bytes, row: Rows, deadline: float) -> Held | None:
        """As :meth:`read` of a single row, which most requests have, with less than half of the steps."""
        layout = self.layout
        (name,) = layout.names((key,), row)
        if name is None or layout.written_only is not None:
            self.skipped(1)
            return None
        (value,) = await self._values((name,), deadline)
        stored, result = _read(layout, key, value, self._clock())
        rows = None
        if stored is not None:
            try:
                rows = decode((stored.payload,))
            except NotDecodable:
                result = "error"
        self._observe(self.label, result, 1)
        if stored is None or rows is None:
            return None
        return Held(self.label, rows, (0,), (stored.payload,), (stored.ttl_s,))

    def in_line(self, keys: Sequence[bytes], rows: Rows) -> Held | None:
        """What waits to be written. Counts nothing."""
        waiting = [None if name is None else self._tier.writes.get(name) for name in self.layout.names(keys, rows)]
        return self._sorted_out(keys, waiting)[0] if any(waiting) else None

    def write(self, keys: Sequence[bytes], names: Names, payloads: Sequence[bytes], lives_s: Sequence[float]) -> None:
        """Store answers, each for its life; those that have none left, no name, or no form here are left out."""
        layout, put, now = self.layout, self._tier.writes.put, self._clock()
        for key, name, payload, life_s in zip(keys, names, payloads, lives_s, strict=True):
            value = None if name is None or life_s <= 0 else layout.write(key, payload, now, life_s)
            if value is not None:
                put(name, value, life_s, len(key) + len(payload), self._took_put)

    async def state(self, key: bytes, row: Rows, deadline: float) -> dict[str, object]:
        """For ``explain``: what the tier holds under one key. Counts nothing."""
        if self.layout.written_only is not None:
            return {"state": "off", "reason": self.layout.written_only}
        (name,) = self.layout.names([key], row)
        if name is None:
            return {"state": "off", "reason": "this row has no place in the tier's layout"}
        try:
            (value,) = await self._tier.get_many([name], deadline - self._since())
        except TierDown as error:
            return {"state": "down", "reason": str(error)}
        except TierFailed as error:
            return {"state": "error", "reason": str(error)}
        stored, result = _read(self.layout, key, value, self._clock())
        if stored is None or readable([stored.payload])[1]:
            return {"state": result if stored is None else "error"}
        state: dict[str, object] = {"state": "hit", "ttl_s": round(stored.ttl_s, 3), "bytes": len(stored.payload)}
        if stored.age_s is not None:
            state["age_s"] = round(stored.age_s, 3)
        return state

    async def _read_named(self, keys: Sequence[bytes], names: Names, deadline: float) -> Held | None:
        places = [place for place, name in enumerate(names) if name is not None]
        values = await self._values([names[place] for place in places], deadline)
        held = self._opened([keys[place] for place in places], values)
        return None if held is None else held.moved(places)

    async def _values(self, names: Sequence[Any], deadline: float) -> Sequence[Any]:
        start = self._since()
        try:
            values = await self._tier.get_many(names, (deadline - start) * SHARE)
        except TierDown as error:
            self.skipped(len(names))
            raise Unavailable from error
        except TierFailed as error:
            logger.debug("%s: %s", self.label, error)
            self._observe(self.label, "error", len(names))
            raise Unavailable from error
        self._observe_seconds(self.label, "get", self._since() - start)
        return values

    def _opened(self, keys: Sequence[bytes], values: Sequence[Any]) -> Held | None:
        try:
            held, results = self._sorted_out(keys, values)
        except Unjoinable:
            self.skipped(len(keys))
            raise
        for result, count in results.items():
            self._observe(self.label, result, count)
        return held

    def _sorted_out(self, keys: Sequence[bytes], values: Sequence[Any]) -> tuple[Held | None, dict[str, int]]:
        """What of ``values`` can be used, and how many rows came to which result."""
        layout, now = self.layout, self._clock()
        results: dict[str, int] = {}
        found: list[Stored | None] = []
        for key, value in zip(keys, values, strict=True):
            stored, result = _read(layout, key, value, now)
            found.append(stored)
            if stored is None:
                results[result] = results.get(result, 0) + 1
        part, unreadable = readable([None if stored is None else stored.payload for stored in found])
        if unreadable:
            results["error"] = results.get("error", 0) + unreadable
        if part is None:
            return None, results
        rows, places = part
        results["hit"] = rows.count
        good = [stored for place in places if (stored := found[place]) is not None]
        return Held(self.label, rows, places, [it.payload for it in good], [it.ttl_s for it in good]), results

    def _took_put(self, seconds: float) -> None:
        self._observe_seconds(self.label, "put", seconds)


def _read(layout: Layout[Any, Any], key: bytes, value: Any, now: float) -> tuple[Stored | None, str]:
    if value is None:
        return None, "miss"
    try:
        return layout.read(key, value, now), "hit"
    except Expired:
        return None, "expired"
    except Stale:
        return None, "stale"
    except Damaged:
        return None, "error"
