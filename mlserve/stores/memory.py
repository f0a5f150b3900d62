"""The in-memory tier: least recently used entries, bounded by the bytes that the process really grows by.

Keys and values are flat bytes, which the garbage collector never visits, in plain dicts whose order is that of last
use. The dicts are many and small (shards), so that growing one, or dropping its oldest entries, is a short pause
whatever the size of the whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from time import time
from typing import Final

SHARDS: Final = 64
ENTRY_BYTES: Final = 150
"""What an entry costs besides the bytes of key and value: two object heads, its place in the dict, the allocator's
rounding. Measured by ``benchmarks/cache_memory.py`` at a million entries; see ``docs/performance.md``."""

_EXPIRY: Final = 8


class MemoryStore:
    """One datastore's memory tier, shared by the models that name it. Used on the event loop only.

    ``clock`` tells Unix time in seconds. Counters only grow: ``evictions`` counts entries dropped for space.
    """

    def __init__(self, size_bytes: int, *, clock: Callable[[], float] = time) -> None:
        self.evictions = 0
        self._shard_bytes = max(1, size_bytes // SHARDS)
        self._clock = clock
        self._shards: list[dict[bytes, bytes]] = [{} for _ in range(SHARDS)]
        self._used = [0] * SHARDS

    @property
    def used_bytes(self) -> int:
        """What the entries cost, overhead included."""
        return sum(self._used)

    def __len__(self) -> int:
        return sum(map(len, self._shards))

    def get(self, key: bytes) -> bytes | None:
        """The value stored under ``key``, now the most recently used; ``None`` if there is none or its time is up."""
        index = hash(key) % SHARDS
        shard = self._shards[index]
        entry = shard.pop(key, None)
        if entry is None:
            return None
        if int.from_bytes(entry[:_EXPIRY], "little") <= self._clock() * 1000:
            self._used[index] -= _cost(key, entry)
            return None
        shard[key] = entry
        return entry[_EXPIRY:]

    def peek(self, key: bytes) -> tuple[bytes, float] | None:
        """Value and remaining life in seconds, without counting as a use; expired entries too (life below 0)."""
        entry = self._shards[hash(key) % SHARDS].get(key)
        if entry is None:
            return None
        return entry[_EXPIRY:], int.from_bytes(entry[:_EXPIRY], "little") / 1000 - self._clock()

    def put(self, key: bytes, value: bytes, ttl_s: float) -> None:
        """Store ``value`` for ``ttl_s`` seconds. What is larger than a shard is not stored."""
        entry = int((self._clock() + ttl_s) * 1000).to_bytes(_EXPIRY, "little") + value
        cost = _cost(key, entry)
        index = hash(key) % SHARDS
        shard = self._shards[index]
        old = shard.pop(key, None)
        if old is not None:
            self._used[index] -= _cost(key, old)
        if cost > self._shard_bytes:
            return
        shard[key] = entry
        self._used[index] += cost
        if self._used[index] > self._shard_bytes:
            self._evict(index)

    def newest(self, prefix: bytes, count: int) -> Iterator[bytes]:
        """Up to ``count`` keys that begin with ``prefix``, the most recently used of each shard first."""
        per_shard = -(-count // SHARDS)
        for shard in self._shards:
            matching = (key for key in reversed(shard) if key.startswith(prefix))
            yield from list(islice(matching, per_shard))

    def clear(self) -> None:
        """Drop every entry."""
        for shard in self._shards:
            shard.clear()
        self._used = [0] * SHARDS

    def _evict(self, index: int) -> None:
        # A sixteenth at a time: finding the oldest entries of a dict means walking over the holes in front of them.
        shard = self._shards[index]
        oldest = list(islice(shard, max(1, len(shard) // 16)))
        for key in oldest:
            self._used[index] -= _cost(key, shard.pop(key))
            self.evictions += 1
            if self._used[index] <= self._shard_bytes * 15 // 16:
                break


def _cost(key: bytes, entry: bytes) -> int:
    return len(key) + len(entry) + ENTRY_BYTES
