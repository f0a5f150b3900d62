"""The tiers that outlive a command, and whether they took what it gave them."""

from __future__ import annotations

from mlserve.cache.external import External
from mlserve.errors import SetupError

CONNECT_S = 10.0
FLUSH_S = 30.0
"""For a store to take the answers to a few rows."""


class Kept:
    """Over the tiers of ``external`` while a model leases them."""

    def __init__(self, external: External) -> None:
        self._external = external

    async def connected(self) -> None:
        """Returns when every store can be asked. Raises :class:`SetupError` for one that cannot."""
        await self._external.tried(CONNECT_S)
        for connection in self._external.connections:
            if connection.down is not None:
                raise SetupError(f"connection {connection.id}: {connection.down}; without it nothing is kept")

    async def written(self) -> None:
        """Returns when nothing waits to be written. Raises :class:`SetupError` if that takes too long."""
        left = await self._external.flush(FLUSH_S)
        if left:
            faults = [f"connection {one.id}: {one.down}" for one in self._external.connections if one.down is not None]
            raise SetupError("; ".join([f"{_answers(left)} could not be written in {FLUSH_S:g} s", *faults]))

    def loss(self, computed: int) -> str | None:
        """What is to be said if not all of so many answers were kept; ``None`` if they were."""
        counts = [connection.writes for connection in self._external.connections]
        dropped = sum(count.dropped for count in counts)
        if dropped:
            was = "was" if dropped == 1 else "were"
            return f"{_answers(dropped)} {was} not kept: refused by a store, or too large; a smaller --batch may help"
        if computed and not any(count.written for count in counts):
            return "no answer was kept: a warning above says why, or none of them fits the Layout of the DataStore"
        return None


def _answers(count: int) -> str:
    return "1 answer" if count == 1 else f"{count} answers"
