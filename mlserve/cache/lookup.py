"""What the tiers hold for the keys of a request: memory without a wait, then those outside; and writing to them all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from mlserve.cache.merge import Unjoinable
from mlserve.cache.outer import OuterTiers
from mlserve.cache.readable import readable
from mlserve.cache.used_tier import Held, Observe
from mlserve.contracts.memory import Memory
from mlserve.types import Rows

MEMORY: Final = "memory"


class Found(NamedTuple):
    """Rows that a tier had, and where they belong; ``ttl_s`` is what is left to live of the first one, if known."""

    label: str
    rows: Rows
    places: Sequence[int]
    ttl_s: float | None = None


class Lookup:
    """The tiers of one deployment. ``memory`` is ``None`` where there is no such tier; lives there are ``ttl_s``."""

    def __init__(self, memory: Memory | None, ttl_s: float, outer: OuterTiers, observe: Observe) -> None:
        self.has_outer: Final = bool(outer.uses)
        self.writable: Final = memory is not None or outer.writable
        self._memory = memory
        self._ttl_s = ttl_s
        self._outer = outer
        self._observe = observe

    def skipped(self, rows: int) -> None:
        """A request whose rows are not looked up."""
        if self._memory is not None:
            self._observe(MEMORY, "skipped", rows)
        self._outer.skipped(rows)

    def in_memory(self, keys: Sequence[bytes]) -> tuple[Found | None, Sequence[int]]:
        """What memory holds, and the places of what it does not. Raises :class:`~mlserve.cache.merge.Unjoinable`."""
        memory = self._memory
        if memory is None:
            return None, range(len(keys))
        expired = memory.expired
        payloads = [memory.get(key) for key in keys]
        expired = memory.expired - expired
        try:
            part, errors = readable(payloads)
        except Unjoinable:
            self._observe(MEMORY, "skipped", len(keys))
            raise
        held: Sequence[int] = ()
        if part is not None:
            held = part[1]
            self._observe(MEMORY, "hit", len(held))
            if len(held) == len(keys):
                return Found(MEMORY, *part), ()
        misses = len(keys) - len(held) - expired - errors
        for result, count in (("miss", misses), ("expired", expired), ("error", errors)):
            if count:
                self._observe(MEMORY, result, count)
        if part is None:
            return None, range(len(keys))
        known = set(held)
        return Found(MEMORY, *part), [place for place in range(len(keys)) if place not in known]

    async def outside(
        self, keys: Sequence[bytes], rows: Rows, places: Sequence[int], deadline: float
    ) -> tuple[list[Found], set[int]]:
        """What the external tiers hold for ``keys`` at ``places``, now in memory too; and the places of what they do.

        What another request stored while we waited counts as well.
        """
        arrivals = self._outer.arrivals
        if len(keys) == 1:
            held = await self._outer.look_up_one(keys[0], rows, deadline)
            if held is not None:
                return [self._taken(held, keys)], {0}
            found = []
        else:
            found = [self._taken(held, keys) async for held in self._outer.look_up(keys, rows, places, deadline)]
        taken = {place for part in found for place in part.places}
        left = [place for place in places if place not in taken]
        if left and (self._memory is not None or self._outer.arrivals != arrivals):
            for part in self._meanwhile(keys, rows, left):
                found.append(part)
                taken.update(part.places)
        return found, taken

    def store(self, keys: Sequence[bytes], rows: Rows, payloads: Sequence[bytes], shares: Sequence[float]) -> None:
        """Write answers to all tiers, each for that share of the tier's life (at most 1)."""
        if self._memory is not None:
            for key, payload, share in zip(keys, payloads, shares, strict=True):
                self._memory.put(key, payload, self._ttl_s * share)
        if self.has_outer:
            self._outer.store(keys, rows, payloads, shares)

    def remaining_s(self, key: bytes) -> float | None:
        """What is left to live of an entry in memory."""
        entry = self._memory.peek(key) if self._memory is not None else None
        return None if entry is None else entry[1]

    def _taken(self, held: Held, keys: Sequence[bytes]) -> Found:
        if self._memory is not None:
            for place, payload, life_s in zip(held.places, held.payloads, held.lives_s, strict=True):
                # What came into memory while we waited is younger than what we found.
                if (self.remaining_s(keys[place]) or 0) <= 0:
                    self._memory.put(keys[place], payload, min(self._ttl_s, life_s))
        return Found(held.label, held.rows, held.places, held.lives_s[0])

    def _meanwhile(self, keys: Sequence[bytes], rows: Rows, places: Sequence[int]) -> list[Found]:
        """What was computed and stored since the tiers were asked for ``places``."""
        if self._memory is None:
            line = self._outer.in_line(keys, rows, places)
            return [Found(held.label, held.rows, held.places, held.lives_s[0]) for held in line]
        part, _ = readable([self._memory.get(keys[place]) for place in places])
        return [] if part is None else [Found(MEMORY, part[0], [places[at] for at in part[1]])]
