"""What the tiers hold for the keys of a request: memory without a wait, then those outside; and writing to them all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mlserve.cache.merge import Part
from mlserve.cache.outer import Hit, OuterTiers
from mlserve.cache.payload import NotDecodable, decode
from mlserve.contracts.memory import Memory
from mlserve.types import Rows

MEMORY = "memory"

Observe = Callable[[str, str, int], None]
"""Told (tier, result, rows) of every lookup: ``hit``, ``miss``, ``expired``, ``stale``, ``error`` or ``skipped``."""


@dataclass(frozen=True, slots=True)
class Found:
    """Rows that a tier had, and where they belong; ``ttl_s`` is what is left to live of the first one, if known."""

    label: str
    rows: Rows
    places: Sequence[int]
    ttl_s: float | None = None


class Lookup:
    """The tiers of one deployment. ``memory`` is ``None`` where there is no such tier; lives there are ``ttl_s``."""

    def __init__(self, memory: Memory | None, ttl_s: float, outer: OuterTiers, observe: Observe) -> None:
        self.has_outer = bool(outer.uses)
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
        """What memory holds, and the places of what it does not."""
        memory = self._memory
        if memory is None:
            return None, range(len(keys))
        expired = memory.expired
        payloads = [memory.get(key) for key in keys]
        expired = memory.expired - expired
        part, errors = _decoded(payloads)
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
        known = set(held)
        missing = [place for place in range(len(keys)) if place not in known]
        return (None if part is None else Found(MEMORY, *part)), missing

    async def outside(
        self, keys: Sequence[bytes], rows: Rows, places: Sequence[int], deadline: float
    ) -> tuple[list[Found], set[int]]:
        """What the external tiers hold for ``keys`` at ``places``, now in memory too; and the places of what they do.

        What another request stored in memory while we waited counts as well.
        """
        whole = len(places) == len(keys)
        wanted = keys if whole else [keys[place] for place in places]
        hits = await self._outer.look_up(wanted, rows if whole else rows.take(places), deadline)
        by_label: dict[str, list[tuple[int, Hit]]] = {}
        for place, hit in zip(places, hits, strict=True):
            if hit is not None:
                by_label.setdefault(hit.label, []).append((place, hit))
        found = [part for label, pairs in by_label.items() if (part := self._taken(label, pairs, keys)) is not None]
        taken = {place for part in found for place in part.places}
        left = [place for place in places if place not in taken]
        if left and self._memory is not None:
            stored, _ = _decoded([self._memory.get(keys[place]) for place in left])
            if stored is not None:
                found.append(Found(MEMORY, stored[0], [left[at] for at in stored[1]]))
                taken.update(found[-1].places)
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

    def _taken(self, label: str, pairs: Sequence[tuple[int, Hit]], keys: Sequence[bytes]) -> Found | None:
        part, unreadable = _decoded([hit.payload for _, hit in pairs])
        if unreadable:
            self._observe(label, "error", unreadable)
        if part is None:
            return None
        good = [pairs[at] for at in part[1]]
        if self._memory is not None:
            for place, hit in good:
                self._memory.put(keys[place], hit.payload, min(self._ttl_s, hit.ttl_s))
        return Found(label, part[0], [place for place, _ in good], good[0][1].ttl_s)


def _decoded(payloads: Sequence[bytes | None]) -> tuple[Part | None, int]:
    """The rows of those that are there and can be read, with their places, and how many cannot be read."""
    there = [payload for payload in payloads if payload is not None]
    if not there:
        return None, 0
    all_there = len(there) == len(payloads)
    places = range(len(payloads)) if all_there else [place for place, it in enumerate(payloads) if it is not None]
    try:
        return (decode(there), places), 0
    except NotDecodable:
        pairs = zip(places, there, strict=True)
        readable = [(place, payload) for place, payload in pairs if _is_readable(payload)]
    if not readable:
        return None, len(there)
    rows = decode([payload for _, payload in readable])
    return (rows, [place for place, _ in readable]), len(there) - len(readable)


def _is_readable(payload: bytes) -> bool:
    try:
        decode([payload])
    except NotDecodable:
        return False
    return True
