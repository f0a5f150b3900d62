"""The in-memory tier: least recently used entries, bounded by the bytes that the process really grows by.

Keys and values are flat bytes, which the garbage collector never visits, in plain dicts whose order is that of last
use. The dicts are many and small (shards), so that growing one, or dropping its oldest entries, is a short pause
whatever the size of the whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from time import monotonic
from typing import ClassVar, Final

SHARD_BYTES: Final = 4 * 1024 * 1024
"""A shard is about this large, so that entries of a megabyte still find room; of a large store they grow instead."""
MAX_SHARDS: Final = 256
ENTRY_BYTES: Final = 176
"""What an entry costs besides the bytes of key and value: two object heads, its place in the dict, the allocator's
rounding. Measured by ``benchmarks/cache_memory.py`` at a million entries; see ``docs/performance.md``."""

_EXPIRY: Final = 8
_HASH_SHIFT: Final = 32
"""The dicts go by the low bits of a hash. Shards go by others, or every key of a shard would want the same places."""

SCANNED_PER_KEY: Final = 20
"""How many keys :meth:`MemoryStore.newest` looks at for each that it may answer: a tenth of a second for a million."""


class MemoryStore:
    """One datastore's memory tier, shared by the models that name it. Used on the event loop only.

    ``clock`` tells seconds and never runs backwards. Counters only grow: ``evictions`` counts entries dropped for
    space, ``expired`` those that :meth:`get` found too old. It has ``shards`` of ``shard_bytes``, and no entry may be
    larger than one.
    """

    name: ClassVar[str] = "memory"
    """The same as in the registry."""

    def __init__(self, size_bytes: int, *, clock: Callable[[], float] = monotonic) -> None:
        self.evictions = 0
        self.expired = 0
        self.shards = 1
        while self.shards < MAX_SHARDS and size_bytes // (self.shards * 2) >= SHARD_BYTES:
            self.shards *= 2
        self.shard_bytes = size_bytes // self.shards
        self._clock = clock
        self._entries: list[dict[bytes, bytes]] = [{} for _ in range(self.shards)]
        self._used = [0] * self.shards

    @property
    def used_bytes(self) -> int:
        """What the entries cost, overhead included."""
        return sum(self._used)

    def __len__(self) -> int:
        return sum(map(len, self._entries))

    def get(self, key: bytes) -> bytes | None:
        """The value stored under ``key``, now the most recently used; ``None`` if there is none or its time is up."""
        used = self.use(key)
        return None if used is None else used[0]

    def use(self, key: bytes) -> tuple[bytes, float] | None:
        """As :meth:`get`, with the remaining life in seconds."""
        index = (hash(key) >> _HASH_SHIFT) % self.shards
        shard = self._entries[index]
        entry = shard.pop(key, None)
        if entry is None:
            return None
        left_s = int.from_bytes(entry[:_EXPIRY], "little") / 1000 - self._clock()
        if left_s <= 0:
            self._used[index] -= _cost(key, entry)
            self.expired += 1
            return None
        shard[key] = entry
        return entry[_EXPIRY:], left_s

    def peek(self, key: bytes) -> tuple[bytes, float] | None:
        """Value and remaining life in seconds, without counting as a use; expired entries too (life 0 or below)."""
        entry = self._entries[(hash(key) >> _HASH_SHIFT) % self.shards].get(key)
        if entry is None:
            return None
        return entry[_EXPIRY:], int.from_bytes(entry[:_EXPIRY], "little") / 1000 - self._clock()

    def entry(self, key: bytes) -> bytes | None:
        """What stands under ``key``, opaque, to ask :meth:`lasts` about; ``None`` if nothing does."""
        return self._entries[(hash(key) >> _HASH_SHIFT) % self.shards].get(key)

    def lasts(self, key: bytes, entry: bytes) -> float:
        """Remaining life in seconds of ``entry``, which then counts as used; 0 or less if it stands there no more."""
        shard = self._entries[(hash(key) >> _HASH_SHIFT) % self.shards]
        if shard.get(key) is not entry:
            return 0.0
        left_s = int.from_bytes(entry[:_EXPIRY], "little") / 1000 - self._clock()
        if left_s > 0:
            del shard[key]
            shard[key] = entry
        return left_s

    def put(self, key: bytes, value: bytes, ttl_s: float) -> None:
        """Store ``value`` for ``ttl_s`` seconds. What is larger than a shard is not stored, nor is what it replaces."""
        entry = max(0, int((self._clock() + ttl_s) * 1000)).to_bytes(_EXPIRY, "little") + value
        cost = _cost(key, entry)
        index = (hash(key) >> _HASH_SHIFT) % self.shards
        shard = self._entries[index]
        old = shard.pop(key, None)
        if old is not None:
            self._used[index] -= _cost(key, old)
        if cost > self.shard_bytes:
            return
        if self._used[index] + cost > self.shard_bytes:
            self._make_room(index, cost)
        shard[key] = entry
        self._used[index] += cost

    def newest(self, prefix: bytes, count: int) -> Iterator[bytes]:
        """Up to ``count`` keys that begin with ``prefix``, the most recently used of each shard first.

        Looks at no more than :data:`SCANNED_PER_KEY` times that many, whosever they are: the loop waits for it.
        """
        per_shard = -(-count // self.shards)
        left = count
        for shard in self._entries:
            recent = islice(reversed(shard), SCANNED_PER_KEY * per_shard)
            matching = (key for key in recent if key.startswith(prefix))
            keys = list(islice(matching, min(per_shard, left)))
            left -= len(keys)
            yield from keys

    def clear(self) -> None:
        """Drop every entry."""
        for shard in self._entries:
            shard.clear()
        self._used = [0] * self.shards

    def _make_room(self, index: int, cost: int) -> None:
        # A sixteenth at a time: finding the oldest entries of a dict means walking over the holes in front of them.
        shard = self._entries[index]
        wanted = min(self.shard_bytes - cost, self.shard_bytes * 15 // 16)
        while self._used[index] > wanted:
            for key in list(islice(shard, max(1, len(shard) // 16))):
                self._used[index] -= _cost(key, shard.pop(key))
                self.evictions += 1
                if self._used[index] <= wanted:
                    break


def _cost(key: bytes, entry: bytes) -> int:
    return len(key) + len(entry) + ENTRY_BYTES
