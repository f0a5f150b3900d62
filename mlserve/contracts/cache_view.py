"""What others may ask of one version's cache: why an answer was a hit or a miss, and which rows are asked for most."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from mlserve.contracts.memory import Memory
from mlserve.types import Rows


class Recording(Protocol):
    """The two parts of a body around its service time; the key in memory of the row, and its remaining life."""

    head: bytes
    tail: bytes
    key: bytes
    ttl_s: float


class CacheView(Protocol):
    """Read-only; made by the assembler, held by the deployment."""

    not_cached: str | None
    """Why this version's answers are not cached; ``None`` if they are."""
    memory: Memory | None
    """The tier that recordings and the rows they answer are in; ``None`` if there is none."""

    def recall(self, request: bytes) -> Recording | None:
        """The answer recorded for a request of these very bytes, while its row is still in memory."""
        ...

    def record(self, request: bytes, key: bytes, head: bytes, tail: bytes) -> None:
        """Keep ``head`` and ``tail`` of the body that answered ``request`` from the entry under ``key``."""
        ...

    async def explain(self, rows: Rows, deadline: float) -> list[dict[str, object]]:
        """For each row, as callers sent it: its key, how each segment came to be, what each tier holds.

        Numbers may be numpy's. External tiers are asked until ``deadline`` (as :func:`time.monotonic` counts).
        """
        ...

    def refused_keys(self, rows: Rows, cache_key: Sequence[str]) -> int:
        """How many of ``cache_key``, the keys that a caller gives its ``rows``, are not the ones they have for mly.

        0 where no tier keeps anything under such keys: then they do not matter.
        """
        ...

    def hot_keys(self, count: int) -> Sequence[str]:
        """Up to ``count`` keys of this version, roughly those used most recently. On the event loop only."""
        ...

    def rows_of(self, keys: Sequence[str]) -> Rows | None:
        """The rows that have these keys; ``None`` if there are none, or keys do not tell (digests). In any thread."""
        ...
