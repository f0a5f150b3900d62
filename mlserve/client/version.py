"""One version of a model with all that the client has of it: its description, keys, own memory and shared tiers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from mlserve import registry
from mlserve.cache.key import KeyMaker
from mlserve.cache.layout import GENERATION_BYTES
from mlserve.cache.merge import Part
from mlserve.cache.outer import NO_TIERS, OuterTiers
from mlserve.client.description import Description
from mlserve.client.given import Given
from mlserve.client.local import Local
from mlserve.client.options import Cache
from mlserve.client.result import LOCAL
from mlserve.client.typed import with_scalars
from mlserve.errors import BadRequest, TooLarge
from mlserve.types import Array, Rows, TensorSpec
from mlserve.values import rows_from_values
from mlserve.values.canonical import canonical_rows

_ANY_NUMBER_OF_ROWS: Final = 2**31
_ABSENCES_SHARE: Final = 16
"""Of this many parts of the local memory, one is for keys that the shared tiers lack."""


class Asked(NamedTuple):
    """What was given as the server will understand it: canonical rows, their full keys, whether they are a batch."""

    rows: Rows
    keys: list[bytes]
    batch: bool


class Found(NamedTuple):
    """Rows that need no server, by where they were, and the places of those that do."""

    parts: list[Part]
    sources: dict[str, int]
    missing: Sequence[int]


class Version:
    """Rows of a version that may not be kept are never looked for. On one event loop only."""

    def __init__(self, description: Description, cache: Cache, outer: OuterTiers) -> None:
        self.description: Final = description
        self.dict_hash: Final = description.interface.dict_hash
        self.outputs: Final[Mapping[str, TensorSpec]] = description.outputs
        self.local: Final = _local(description, cache)
        self._outer = outer if description.generation is not None else NO_TIERS
        self._prefix = bytes.fromhex((description.generation or "")[: 2 * GENERATION_BYTES])
        self._keys = KeyMaker(description.interface)
        self.splits: Final = all(field.shape is not None for field in description.interface.inputs)
        """Whether a batch can be sent in part: in one of unknown rank, nobody tells a row from many but the server."""

    @property
    def caches(self) -> bool:
        return self.local is not None or bool(self._outer.uses)

    def understand(self, given: Given) -> Asked | None:
        """``given`` with its keys; ``None`` for what is not plainly right, or of no use: the server is the judge."""
        if not self.caches:
            return None
        interface = self.description.interface
        try:
            sent, batch = rows_from_values(interface, given.values, given.batch_size, _ANY_NUMBER_OF_ROWS)
        except (BadRequest, TooLarge):
            return None
        if not all(map(_can_be_sent, sent.columns.values())):
            return None
        rows = canonical_rows(sent, interface)
        prefix = self._prefix
        keys = [prefix + key.encode("utf-8", "surrogatepass") for key in self._keys.keys(rows)]
        return Asked(rows, keys, batch)

    async def look_up(self, asked: Asked, deadline: float) -> Found:
        """In the local memory, then in the shared tiers, until ``deadline``, which counts as ``time.monotonic`` does.

        Raises :class:`~mlserve.cache.merge.Unjoinable` for answers that no arrays hold together.
        """
        keys = asked.keys
        parts: list[Part] = []
        sources: dict[str, int] = {}
        missing: Sequence[int] = range(len(keys))
        if self.local is not None:
            part, missing = self.local.look_up(keys)
            if part is not None:
                parts.append(part)
                sources[LOCAL] = part[0].count
        if missing and self._outer.uses:
            wanted = missing if self.local is None else self.local.not_absent(keys, missing)
            outside = await self._outside(asked, wanted, deadline, sources) if wanted else []
            parts += outside
            found = {place for _, places in outside for place in places}
            missing = [place for place in missing if place not in found]
            if self.local is not None:
                self.local.missed([keys[place] for place in wanted if place not in found])
        return Found(parts, sources, missing)

    async def _outside(
        self, asked: Asked, places: Sequence[int], deadline: float, sources: dict[str, int]
    ) -> list[Part]:
        parts: list[Part] = []
        async for held in self._outer.look_up(asked.keys, asked.rows, places, deadline):
            rows = with_scalars(held.rows, self.outputs)
            if self.local is not None:
                self.local.store([asked.keys[place] for place in held.places], rows, held.lives_s)
            parts.append((rows, held.places))
            sources[held.label] = sources.get(held.label, 0) + rows.count
        return parts


def _local(description: Description, cache: Cache) -> Local | None:
    size_mb = description.size_mb if cache.size_mb is None else cache.size_mb
    if description.generation is None or not cache.local or not size_mb:
        return None
    size = int(size_mb * 1024 * 1024)
    memory = registry.resolve("stores", "memory")
    return Local(
        memory(size - size // _ABSENCES_SHARE),
        memory(size // _ABSENCES_SHARE),
        ttl_s=description.ttl_s,
        retry_s=description.retry_s,
    )


def _can_be_sent(column: Array) -> bool:
    """JSON makes ``null`` of what is not finite, which means something else to a server."""
    return column.dtype.kind not in "fcV" or bool(np.isfinite(column).all())
