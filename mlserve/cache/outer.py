"""The external tiers of one deployment, L1 before L2: one multi-get in each, promotion upward, write-through downward.

Whatever goes wrong in a tier is a miss there, counted by what it was, and never an error of the request.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic, perf_counter, time
from typing import Any, Final

from mlserve.cache.layout import Damaged, Expired, Layout, Stale, Stored
from mlserve.cache.tier import Tier, TierDown, TierFailed
from mlserve.types import Rows

logger = logging.getLogger(__name__)

Observe = Callable[[str, str, int], None]
"""Told (tier, result, rows) of every lookup: ``hit miss expired stale error skipped``."""
ObserveSeconds = Callable[[str, str, float], None]
"""Told (tier, ``get`` or ``put``, seconds) of every round trip."""


@dataclass(frozen=True, slots=True)
class TierUse:
    """How one datastore uses a tier. ``label`` is ``l1`` or ``l2``; ``layout`` is the deployment's own."""

    label: str
    tier: Tier[Any, Any]
    layout: Layout[Any, Any]
    ttl_s: float
    read_only: bool


@dataclass(frozen=True, slots=True)
class Hit:
    """A row's answer from outside: ``label`` names the tier that had it, ``ttl_s`` is what is left of its life."""

    label: str
    payload: bytes
    ttl_s: float


class OuterTiers:
    """Pure policy over tiers that others own. ``clock`` is Unix time in seconds: entries outlive processes."""

    def __init__(
        self,
        uses: Sequence[TierUse],
        *,
        observe: Observe = lambda tier, result, rows: None,
        observe_seconds: ObserveSeconds = lambda tier, op, seconds: None,
        clock: Callable[[], float] = time,
    ) -> None:
        self.uses = tuple(uses)
        self._observe = observe
        self._clock = clock
        self._observe_seconds = observe_seconds
        self._took_put = {use.label: _put_seconds(observe_seconds, use.label) for use in self.uses}

    async def look_up(self, keys: Sequence[bytes], rows: Rows, deadline: float) -> list[Hit | None]:
        """What the tiers hold for ``keys``, whose rows are ``rows``. Waits no longer than ``deadline`` (monotonic)."""
        hits: list[Hit | None] = [None] * len(keys)
        left = list(range(len(keys)))
        for depth, use in enumerate(self.uses):
            wanted = keys if len(left) == len(keys) else [keys[place] for place in left]
            wanted_rows = rows if len(left) == len(keys) else rows.take(left)
            found = await self._read(use, wanted, wanted_rows, deadline)
            for place, stored in zip(left, found, strict=True):
                if stored is not None:
                    hits[place] = Hit(use.label, stored.payload, stored.ttl_s)
            self._promote(depth, wanted, wanted_rows, found)
            left = [place for place in left if hits[place] is None]
            if not left:
                break
        return hits

    def skipped(self, rows: int) -> None:
        """A request whose rows are not looked up here."""
        for use in self.uses:
            self._observe(use.label, "skipped", rows)

    def store(self, keys: Sequence[bytes], rows: Rows, payloads: Sequence[bytes], shares: Sequence[float]) -> None:
        """Write answers through to every tier, each for that share of the tier's life (at most 1)."""
        now = self._clock()
        for use in self.uses:
            if not use.read_only:
                lives = [use.ttl_s * share for share in shares]
                self._write(use, keys, rows, payloads, lives, now)

    async def peek(self, key: bytes, row: Rows, deadline: float) -> dict[str, dict[str, object]]:
        """For ``explain``: what each tier holds under one key. Counts nothing."""
        return {use.label: await self._state(use, key, row, deadline) for use in self.uses}

    async def _read(self, use: TierUse, keys: Sequence[bytes], rows: Rows, deadline: float) -> list[Stored | None]:
        names = use.layout.names(keys, rows) if use.layout.readable else []
        asked = [name for name in names if name is not None]
        nothing: list[Stored | None] = [None] * len(keys)
        if not asked:
            self._observe(use.label, "skipped", len(keys))
            return nothing
        start = perf_counter()
        try:
            values = await use.tier.get_many(asked, deadline - monotonic())
        except TierDown:
            self._observe(use.label, "skipped", len(keys))
            return nothing
        except TierFailed as error:
            logger.debug("%s: %s", use.label, error)
            self._observe(use.label, "error", len(keys))
            return nothing
        except Exception:
            logger.exception("%s: unexpected failure of a read", use.label)
            self._observe(use.label, "error", len(keys))
            return nothing
        self._observe_seconds(use.label, "get", perf_counter() - start)
        if len(asked) < len(keys):
            read = iter(values)
            values = [None if name is None else next(read) for name in names]
        return self._opened(use, keys, values)

    def _opened(self, use: TierUse, keys: Sequence[bytes], values: Sequence[Any]) -> list[Stored | None]:
        now = self._clock()
        results = dict.fromkeys(("hit", "miss", "expired", "stale", "error"), 0)
        found: list[Stored | None] = []
        for key, value in zip(keys, values, strict=True):
            stored, result = _opened(use.layout, key, value, now)
            results[result] += 1
            found.append(stored)
        for result, count in results.items():
            if count:
                self._observe(use.label, result, count)
        return found

    def _promote(self, depth: int, keys: Sequence[bytes], rows: Rows, found: Sequence[Stored | None]) -> None:
        upper = [use for use in self.uses[:depth] if not use.read_only]
        places = [place for place, stored in enumerate(found) if stored is not None]
        if not upper or not places:
            return
        now = self._clock()
        hits = [stored for stored in found if stored is not None]
        hit_rows = rows if len(places) == len(keys) else rows.take(places)
        for use in upper:
            lives = [min(use.ttl_s, hit.ttl_s) for hit in hits]
            self._write(use, [keys[place] for place in places], hit_rows, [hit.payload for hit in hits], lives, now)

    def _write(
        self,
        use: TierUse,
        keys: Sequence[bytes],
        rows: Rows,
        payloads: Sequence[bytes],
        lives_s: Sequence[float],
        now: float,
    ) -> None:
        took = self._took_put[use.label]
        names = use.layout.names(keys, rows)
        for name, key, payload, life_s in zip(names, keys, payloads, lives_s, strict=True):
            if name is None or life_s <= 0:
                continue
            value = use.layout.write(key, payload, now, life_s)
            if value is not None:
                use.tier.put(name, value, life_s, len(key) + len(payload), took)

    async def _state(self, use: TierUse, key: bytes, row: Rows, deadline: float) -> dict[str, object]:
        (name,) = use.layout.names([key], row)
        if name is None:
            return {"state": "off", "reason": "this row has no place in the tier's layout"}
        try:
            (value,) = await use.tier.get_many([name], deadline - monotonic())
        except TierDown as error:
            return {"state": "down", "reason": str(error)}
        except TierFailed as error:
            return {"state": "error", "reason": str(error)}
        stored, result = _opened(use.layout, key, value, self._clock())
        if stored is None:
            return {"state": result}
        state: dict[str, object] = {"state": "hit", "ttl_s": round(stored.ttl_s, 3), "bytes": len(stored.payload)}
        if stored.age_s is not None:
            state["age_s"] = round(stored.age_s, 3)
        return state


NO_TIERS: Final = OuterTiers(())


def _opened(layout: Layout[Any, Any], key: bytes, value: Any, now: float) -> tuple[Stored | None, str]:
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


def _put_seconds(observe: ObserveSeconds, label: str) -> Callable[[float], None]:
    return lambda seconds: observe(label, "put", seconds)
