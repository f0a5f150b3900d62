"""Entries in Redis: one ``MGET`` a read, one pipeline of ``SET`` a write, and no room for values that are too large."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import Final

from hiredis import ReplyError

from mlserve.contracts.store import MAX_NAME_BYTES, MAX_VALUE_BYTES, StoreFault, StoreRefused
from mlserve.stores.redis_faults import failed, refused
from mlserve.stores.redis_link import Oversized, Reply, packed
from mlserve.stores.redis_pool import Pool

MAX_LIFE_MS: Final = 10 * 365 * 24 * 3600 * 1000
"""Ten years: a life that ends in a far future overflows in the server."""
PROBE: Final = b"mlserve:probe"
"""A name that nobody writes, among those that a user must be allowed anyhow."""


class Entries:
    """All of one database; implements :class:`Table[bytes, bytes] <mlserve.contracts.store.Table>`.

    Writes have connections of their own, for they may take long while a read must not.
    """

    def __init__(self, reads: Pool, writes: Pool) -> None:
        self._reads = reads
        self._writes = writes

    async def get_many(self, names: Sequence[bytes]) -> Sequence[bytes | None]:
        """As :meth:`Table.get_many <mlserve.contracts.store.Table.get_many>`."""
        if not names:
            return []
        try:
            return await self._values(names)
        except Oversized:
            return await self._small_values(names)

    async def put_many(self, items: Sequence[tuple[bytes, bytes, float]]) -> None:
        """As :meth:`Table.put_many <mlserve.contracts.store.Table.put_many>`.

        What is too large is refused before anything is sent.
        """
        if not items:
            return
        request = b"".join([_set(*item) for item in items])
        for reply in await self._writes.exchange(request, len(items)):
            if isinstance(reply, ReplyError):
                raise refused(str(reply))

    async def probe(self) -> None:
        """Raises :class:`StoreFault` unless a read works: a PING is answered to users who may not read."""
        await self.get_many([PROBE])

    async def _values(self, names: Sequence[bytes]) -> list[bytes | None]:
        (reply,) = await self._reads.exchange(packed(b"MGET", *names), 1)
        if isinstance(reply, ReplyError):
            raise failed(str(reply))
        if not isinstance(reply, list) or len(reply) != len(names):
            raise StoreFault(f"what answers is no Redis server: not {len(names)} values for as many names")
        return [value if isinstance(value, bytes) and len(value) <= MAX_VALUE_BYTES else None for value in reply]

    async def _small_values(self, names: Sequence[bytes]) -> list[bytes | None]:
        """After an oversized value among ``names``: asks for lengths first, and only for what may be read."""
        lengths = await self._reads.exchange(b"".join([packed(b"STRLEN", name) for name in names]), len(names))
        small = list({name for name, length in zip(names, lengths, strict=True) if _is_small(length)})
        try:
            found = dict(zip(small, await self._values(small), strict=True)) if small else {}
        except Oversized:
            # Somebody wrote another one just now.
            found = {}
        return [found.get(name) for name in names]


def _set(name: bytes, value: bytes, life_s: float) -> bytes:
    if not 1 <= len(name) <= MAX_NAME_BYTES:
        raise StoreRefused(f"a name of {len(name)} bytes, expected 1 to {MAX_NAME_BYTES}")
    if len(value) > MAX_VALUE_BYTES:
        raise StoreRefused(f"a value of {len(value)} bytes, expected no more than {MAX_VALUE_BYTES}")
    return packed(b"SET", name, value, b"PX", max(1, ceil(min(life_s * 1000, MAX_LIFE_MS))))


def _is_small(length: Reply) -> bool:
    return isinstance(length, int) and length <= MAX_VALUE_BYTES
