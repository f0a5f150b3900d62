"""A version's cache as others see it. See :class:`~mlserve.contracts.cache_view.CacheView`."""

from __future__ import annotations

from collections.abc import Sequence

from mlserve.cache.chain import CacheChain
from mlserve.cache.layout import GENERATION_BYTES
from mlserve.cache.mly import MlyLayout
from mlserve.cache.mly_key import mly_keys
from mlserve.cache.outer import OuterTiers
from mlserve.cache.replay import Recording, Replay
from mlserve.cache.segments import explained_segments
from mlserve.cache.unkey import rows_from_keys
from mlserve.contracts.memory import Memory
from mlserve.types import Interface, Rows
from mlserve.values.canonical import canonical_rows


class View:
    """``chain`` is ``None`` for a version that is not cached, and ``not_cached`` says why.

    ``memory`` is ``None`` where there is no such tier.
    """

    def __init__(
        self,
        interface: Interface,
        chain: CacheChain | None,
        memory: Memory | None,
        outer: OuterTiers,
        not_cached: str | None,
    ) -> None:
        self.not_cached = not_cached
        self._interface = interface
        self._chain = chain
        self.memory = memory
        self._outer = outer
        self._keeps_records = any(isinstance(use.layout, MlyLayout) for use in outer.uses)
        self._replay = Replay(memory, chain.prefix) if chain is not None and memory is not None else None

    def recall(self, request: bytes) -> Recording | None:
        return self._replay.recall(request) if self._replay is not None else None

    def record(self, request: bytes, key: bytes, head: bytes, tail: bytes) -> None:
        if self._replay is not None:
            self._replay.record(request, key, head, tail)

    async def explain(self, rows: Rows, deadline: float) -> list[dict[str, object]]:
        """One document per row of ``rows``, which are as callers sent them."""
        canonical = canonical_rows(rows, self._interface)
        keys = self._chain.keys(canonical) if self._chain is not None else [b""] * rows.count
        return [
            {
                "key": "/".join(str(segment["segment"]) for segment in segments),
                "segments": segments,
                "tiers": {"memory": self._state(key), **await self._outer.peek(key, canonical.take([index]), deadline)},
            }
            for index, (key, segments) in enumerate(
                zip(keys, explained_segments(self._interface, rows, canonical), strict=True)
            )
        ]

    def refused_keys(self, rows: Rows, cache_key: Sequence[str]) -> int:
        if not self._keeps_records:
            return 0
        keys = mly_keys(self._interface, canonical_rows(rows, self._interface))
        return sum(given != key for given, key in zip(cache_key, keys, strict=True))

    def hot_keys(self, count: int) -> Sequence[str]:
        if self._chain is None or self.memory is None:
            return []
        keys = self.memory.newest(self._chain.prefix, count)
        return [key[GENERATION_BYTES:].decode("utf-8", "surrogatepass") for key in keys]

    def rows_of(self, keys: Sequence[str]) -> Rows | None:
        return rows_from_keys(self._interface, keys)

    def _state(self, key: bytes) -> dict[str, object]:
        if self.memory is None:
            return {"state": "off", "reason": self.not_cached or "the datastore has no Cache"}
        entry = self.memory.peek(key)
        if entry is None:
            return {"state": "miss"}
        value, ttl_s = entry
        return {"state": "hit" if ttl_s > 0 else "expired", "ttl_s": round(ttl_s, 3), "bytes": len(value)}
