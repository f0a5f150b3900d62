"""The contract of a memory tier: entries at hand, without a wait.

It is the only tier that a request reads before its first await, so its calls are plain ones, made on the event loop.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol


class Memory(Protocol):
    """Bytes under bytes, bounded in size, each with a life."""

    @property
    def expired(self) -> int:
        """Entries that :meth:`get` found too old, since the start."""
        ...

    def get(self, key: bytes) -> bytes | None:
        """The value, which now counts as just used; ``None`` if there is none or its life is over."""
        ...

    def use(self, key: bytes) -> tuple[bytes, float] | None:
        """As :meth:`get`, with the remaining life in seconds."""
        ...

    def peek(self, key: bytes) -> tuple[bytes, float] | None:
        """The value and its remaining life in seconds, without counting as a use; ``None`` if there is none."""
        ...

    def entry(self, key: bytes) -> bytes | None:
        """What stands under ``key`` now, opaque, to ask :meth:`lasts` about; ``None`` if nothing does."""
        ...

    def lasts(self, key: bytes, entry: bytes) -> float:
        """The remaining life in seconds of ``entry``, which then counts as just used.

        0 or less if it is not the very one that stands under ``key`` now, or if its life is over.
        """
        ...

    def put(self, key: bytes, value: bytes, ttl_s: float) -> None:
        """Store ``value`` for ``ttl_s`` seconds, at the cost of those used least recently."""
        ...

    def newest(self, prefix: bytes, count: int) -> Iterator[bytes]:
        """Up to ``count`` keys that begin with ``prefix``, roughly the most recently used first."""
        ...
