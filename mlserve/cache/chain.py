"""The cache as a ``Predict``: answers from the tiers what this generation has answered before, computes the rest once.

A batch is looked up together; only its missing rows go on, each once, whoever else asks for them meanwhile. Keys carry
the generation, so entries of another version cannot be found, let alone answered.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from random import Random
from time import monotonic
from typing import Final

from mlserve.cache.flight import Flight
from mlserve.cache.key import KeyMaker
from mlserve.cache.payload import NotDecodable, NotEncodable, decode
from mlserve.contracts.memory import Memory
from mlserve.errors import DeadlineExceeded, NotCached, NotReady
from mlserve.types import CacheUse, Context, Interface, Predict, Rows

logger = logging.getLogger(__name__)

Observe = Callable[[str, str, int], None]
"""Told (tier, result, rows) of every lookup; result is ``hit``, ``miss``, ``error`` or ``skipped``."""

JITTER: Final = 0.1
"""Lives are shortened by up to this share, so that entries stored together do not expire together."""


class CacheChain:
    """One deployment's chain. Call it, then :meth:`close` it once its callers have left."""

    def __init__(
        self,
        predict: Predict,
        *,
        interface: Interface,
        generation: str,
        memory: Memory,
        ttl_s: float,
        observe: Observe = lambda tier, result, rows: None,
        random: Random | None = None,
    ) -> None:
        self.prefix = bytes.fromhex(generation[:32])
        self._predict = predict
        self._keys = KeyMaker(interface)
        self._memory = memory
        self._ttl_s = ttl_s
        self._observe = observe
        self._random = random or Random()  # noqa: S311  # spreads expiries, guards nothing
        self._flights: dict[bytes, Flight] = {}
        self._closed = False
        self._uncacheable = False

    def keys(self, rows: Rows) -> list[bytes]:
        """The full keys of ``rows``, generation in front."""
        prefix = self.prefix
        return [prefix + key.encode("utf-8", "surrogateescape") for key in self._keys.keys(rows)]

    async def __call__(self, rows: Rows, context: Context) -> Rows:
        """Raises ``NotCached`` for a caller that wants nothing computed, and what the ``Predict`` behind raises."""
        if self._closed:
            raise NotReady("the version is closing")
        if context.cache is CacheUse.NO_STORE or self._uncacheable:
            return await self._bypass(rows, context)
        keys = self.keys(rows)
        while True:
            try:
                return await self._answer(keys, rows, context)
            except NotDecodable:
                # Rows of one request whose entries have different layouts: only a run of their own joins them.
                return await self._bypass(rows, context)
            except NotEncodable as error:
                self._uncacheable = True
                logger.warning("an answer cannot be cached (%s): the cache of this version is off", error)
                return await self._bypass(rows, context)
            except DeadlineExceeded:
                # A flight that we joined ended at the deadline of those who were in it before us.
                if monotonic() >= context.deadline:
                    raise

    async def _bypass(self, rows: Rows, context: Context) -> Rows:
        self._observe("memory", "skipped", rows.count)
        context.cache_status = "mlserve; fwd=bypass"
        return await self._predict(rows, context)

    async def close(self) -> None:
        """Waits for flights that outlived their callers."""
        self._closed = True
        for flight in set(self._flights.values()):
            await flight.landed()

    async def _answer(self, keys: list[bytes], rows: Rows, context: Context) -> Rows:
        found = self._look_up(keys, context)
        missing = [index for index, payload in enumerate(found) if payload is None]
        if not missing:
            try:
                return self._hit(keys, found, context)
            except NotDecodable:
                self._observe("memory", "error", len(found))
                found, missing = [None] * len(keys), list(range(len(keys)))
        if context.cache is CacheUse.ONLY_IF_CACHED:
            raise NotCached(f"{len(missing)} of {len(found)} rows are not cached, and only-if-cached was asked for")
        return await self._compute(keys, rows, found, missing, context)

    def _look_up(self, keys: Sequence[bytes], context: Context) -> list[bytes | None]:
        if context.cache is CacheUse.NO_CACHE:
            self._observe("memory", "skipped", len(keys))
            return [None] * len(keys)
        found = [self._memory.get(key) for key in keys]
        misses = found.count(None)
        if misses:
            self._observe("memory", "miss", misses)
        if misses < len(found):
            self._observe("memory", "hit", len(found) - misses)
        return found

    def _hit(self, keys: Sequence[bytes], found: Sequence[bytes | None], context: Context) -> Rows:
        answer = decode([payload for payload in found if payload is not None])
        if len(keys) == 1:
            entry = self._memory.peek(keys[0])
            context.cache_status = f"memory; hit; ttl={entry[1]:.0f}" if entry else "memory; hit"
        else:
            context.cache_status = f'mlserve; detail="memory={len(found)}"'
        return answer

    async def _compute(
        self, keys: Sequence[bytes], rows: Rows, found: list[bytes | None], missing: Sequence[int], context: Context
    ) -> Rows:
        own, joined = self._flights_for(keys, rows, missing, context)
        context.cache_status = _status(len(keys), len(missing), own, context)
        computed: dict[bytes, bytes] = {}
        for flight in joined:
            _, payloads = await flight.wait(context.deadline)
            computed.update(zip(flight.keys, payloads, strict=True))
        if own is not None:
            answer, payloads = await own.wait(context.deadline)
            if not joined and own.keys == keys:
                return answer
            computed.update(zip(own.keys, payloads, strict=True))
        return decode([payload or computed[key] for key, payload in zip(keys, found, strict=True)])

    def _flights_for(
        self, keys: Sequence[bytes], rows: Rows, missing: Sequence[int], context: Context
    ) -> tuple[Flight | None, list[Flight]]:
        """A flight of our own for keys that nobody computes yet, and those of others for the rest."""
        fresh: dict[bytes, int] = {}
        joined: dict[Flight, None] = {}
        for index in missing:
            flight = self._flights.get(keys[index])
            if flight is None or context.cache is CacheUse.NO_CACHE:
                fresh.setdefault(keys[index], index)
            else:
                joined[flight] = None
        own = None
        if fresh:
            wanted = rows if len(fresh) == rows.count else rows.take(list(fresh.values()))
            own = Flight(list(fresh), wanted, Context(context.deadline, context.request_id), self._predict, self._store)
            for key in own.keys:
                self._flights[key] = own
            own.when_done(self._land)
        return own, list(joined)

    def _land(self, flight: Flight) -> None:
        for key in flight.keys:
            if self._flights.get(key) is flight:
                del self._flights[key]

    def _store(self, keys: Sequence[bytes], payloads: Sequence[bytes]) -> None:
        for key, payload in zip(keys, payloads, strict=True):
            self._memory.put(key, payload, self._ttl_s * (1 - JITTER * self._random.random()))


def _status(rows: int, missing: int, own: Flight | None, context: Context) -> str:
    if rows > 1:
        return f'mlserve; detail="memory={rows - missing} miss={missing}"'
    if own is None:
        return "mlserve; fwd=miss; collapsed"
    return "mlserve; fwd=request; stored" if context.cache is CacheUse.NO_CACHE else "mlserve; fwd=miss; stored"
