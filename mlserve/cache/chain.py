"""The cache as a ``Predict``: answers from the tiers what this generation has answered before, computes the rest once.

A batch is looked up together; only its missing rows go on, each once, whoever else asks for them meanwhile. Keys carry
the generation, so entries of another version cannot be found, let alone answered.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from random import Random
from time import monotonic
from typing import Final

from mlserve.cache.flight import Flight, arrival
from mlserve.cache.key import KeyMaker
from mlserve.cache.merge import Part, Unjoinable, merged
from mlserve.cache.payload import NotDecodable, NotEncodable, decode, encode
from mlserve.contracts.memory import Memory
from mlserve.errors import DeadlineExceeded, NotCached, NotReady
from mlserve.types import CacheUse, Context, Interface, Predict, Rows

logger = logging.getLogger(__name__)

Observe = Callable[[str, str, int], None]
"""Told (tier, result, rows) of every lookup; result is ``hit``, ``miss``, ``expired``, ``error`` or ``skipped``."""

JITTER: Final = 0.1
"""Lives are shortened by up to this share, so that entries stored together do not expire together."""

PREFIX_BYTES: Final = 16
"""As much of the generation as stands in front of every key."""


class _NeighbourFailed(Exception):
    """A run that we joined failed, perhaps for rows in it that are not ours."""


class CacheChain:
    """One deployment's chain. Call it, then :meth:`close` it once its callers have left.

    ``generation`` is in hex. ``observe_joined`` is told how many rows waited for a run that was already in progress.
    """

    def __init__(
        self,
        predict: Predict,
        *,
        interface: Interface,
        generation: str,
        memory: Memory,
        ttl_s: float,
        observe: Observe = lambda tier, result, rows: None,
        observe_joined: Callable[[int], None] = lambda rows: None,
        random: Random | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.prefix = bytes.fromhex(generation[: 2 * PREFIX_BYTES])
        self._predict = predict
        self._keys = KeyMaker(interface)
        self._memory = memory
        self._ttl_s = ttl_s
        self._observe = observe
        self._observe_joined = observe_joined
        self._random = random or Random()  # noqa: S311  # spreads expiries, guards nothing
        self._clock = clock
        self._flights: dict[bytes, Flight] = {}
        self._running: set[asyncio.Task[Rows]] = set()
        self._closed = False
        self._uncacheable = False

    def keys(self, rows: Rows) -> list[bytes]:
        """The full keys of ``rows``, generation in front."""
        prefix = self.prefix
        return [prefix + key.encode("utf-8", "surrogatepass") for key in self._keys.keys(rows)]

    async def __call__(self, rows: Rows, context: Context) -> Rows:
        """Raises ``NotCached`` for a caller that wants nothing computed, and what the ``Predict`` behind raises."""
        if context.cache is CacheUse.NO_STORE or self._uncacheable or not rows.count:
            return await self._bypass(rows, context)
        keys = self.keys(rows)
        join = context.cache is not CacheUse.NO_CACHE
        while True:
            try:
                return await self._answer(keys, rows, context, join=join)
            except Unjoinable:
                # Rows of one request whose answers have different shapes: only a run of their own joins them.
                return await self._bypass(rows, context)
            except _NeighbourFailed:
                join = False
            except DeadlineExceeded:
                # A flight that we joined ended long after the deadline of those who were in it before us.
                if self._clock() >= context.deadline:
                    raise

    async def close(self) -> None:
        """Refuses new rows; waits for flights, also for those that outlived their callers."""
        self._closed = True
        while self._running:
            await asyncio.wait(self._running)

    async def _bypass(self, rows: Rows, context: Context) -> Rows:
        self._refuse_if_closed()
        if rows.count:
            self._observe("memory", "skipped", rows.count)
        context.cache_status = "mlserve; fwd=bypass"
        return await self._predict(rows, context)

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise NotReady("this version of the model is closing")

    async def _answer(self, keys: list[bytes], rows: Rows, context: Context, *, join: bool) -> Rows:
        self._refuse_if_closed()
        hits, missing = self._look_up(keys, context)
        if not missing and hits is not None:
            context.cache_status = self._hit_status(keys)
            context.stored_as = keys[0] if len(keys) == 1 else None
            return hits[0]
        if context.cache is CacheUse.ONLY_IF_CACHED:
            raise NotCached(f"{len(missing)} of {len(keys)} rows are not cached, and only-if-cached was asked for")
        if self._clock() >= context.deadline:
            raise DeadlineExceeded("the deadline passed before anything began")
        own, joined = self._flights_for(keys, rows, missing, context, join=join)
        context.cache_status = _miss_status(len(keys), len(missing), own, context)
        flights = {**joined, **own}
        for failed in await arrival(flights, context.deadline):
            if failed in joined and not failed.place_of.keys() <= set(keys):
                raise _NeighbourFailed
            failed.task.result()
        parts = [] if hits is None else [hits]
        for flight, places in flights.items():
            parts.append(_rows_of(flight, [keys[place] for place in places], places))
        return merged(parts)

    def _look_up(self, keys: Sequence[bytes], context: Context) -> tuple[Part | None, Sequence[int]]:
        """What is stored, with its places, and the places of what is not."""
        if context.cache is CacheUse.NO_CACHE:
            self._observe("memory", "skipped", len(keys))
            return None, range(len(keys))
        expired = self._memory.expired
        found = [self._memory.get(key) for key in keys]
        expired = self._memory.expired - expired
        hits, errors = self._decoded(found)
        held: Sequence[int] = () if hits is None else hits[1]
        if held:
            self._observe("memory", "hit", len(held))
        if len(held) == len(keys):
            return hits, ()
        misses = len(keys) - len(held) - expired - errors
        for result, count in (("miss", misses), ("expired", expired), ("error", errors)):
            if count:
                self._observe("memory", result, count)
        known = set(held)
        return hits, [place for place in range(len(keys)) if place not in known]

    def _decoded(self, found: Sequence[bytes | None]) -> tuple[Part | None, int]:
        """The rows of the payloads in ``found``, with their places, and how many of them cannot be read."""
        payloads = [payload for payload in found if payload is not None]
        if not payloads:
            return None, 0
        all_found = len(payloads) == len(found)
        places = range(len(found)) if all_found else [place for place, it in enumerate(found) if it is not None]
        try:
            return (decode(payloads), places), 0
        except NotDecodable:
            pairs = zip(places, payloads, strict=True)
            readable = [(place, payload) for place, payload in pairs if _is_readable(payload)]
        if not readable:
            return None, len(payloads)
        rows = decode([payload for _, payload in readable])
        return (rows, [place for place, _ in readable]), len(payloads) - len(readable)

    def _hit_status(self, keys: Sequence[bytes]) -> str:
        if len(keys) > 1:
            return f'mlserve; detail="memory={len(keys)}"'
        entry = self._memory.peek(keys[0])
        return "memory; hit" if entry is None else f"memory; hit; ttl={int(entry[1])}"

    def _flights_for(
        self, keys: Sequence[bytes], rows: Rows, missing: Sequence[int], context: Context, *, join: bool
    ) -> tuple[dict[Flight, list[int]], dict[Flight, list[int]]]:
        """A flight of our own for keys that nobody computes yet, those of others for the rest; places for each."""
        fresh: dict[bytes, int] = {}
        joined: dict[Flight, list[int]] = {}
        ours = []
        for place in missing:
            flight = self._flights.get(keys[place]) if join else None
            if flight is None:
                fresh.setdefault(keys[place], place)
                ours.append(place)
            else:
                joined.setdefault(flight, []).append(place)
        if joined:
            self._observe_joined(len(missing) - len(ours))
        if not fresh:
            return {}, joined
        wanted = rows if len(fresh) == rows.count else rows.take(list(fresh.values()))
        own = Flight(list(fresh), wanted, context, self._predict, store=self._store, landed=self._land)
        self._running.add(own.task)
        own.task.add_done_callback(self._running.discard)
        self._flights.update(dict.fromkeys(fresh, own))
        return {own: ours}, joined

    def _land(self, flight: Flight) -> None:
        for key in flight.place_of:
            if self._flights.get(key) is flight:
                del self._flights[key]

    def _store(self, flight: Flight, answer: Rows) -> None:
        """Keys that a later flight has taken over are left to it."""
        try:
            payloads = encode(answer)
        except NotEncodable as error:
            if not self._uncacheable:
                logger.warning("an answer cannot be cached (%s): the cache of this version is off", error)
            self._uncacheable = True
            return
        for key, payload in zip(flight.place_of, payloads, strict=True):
            if self._flights.get(key) is flight:
                self._memory.put(key, payload, self._ttl_s * (1 - JITTER * self._random.random()))


def _rows_of(flight: Flight, keys: Sequence[bytes], places: Sequence[int]) -> Part:
    """The rows of ``keys`` from a flight that has landed well."""
    answer = flight.task.result()
    own_places = [flight.place_of[key] for key in keys]
    if own_places == list(range(answer.count)):
        return answer, places
    return answer.take(own_places), places


def _is_readable(payload: bytes) -> bool:
    try:
        decode([payload])
    except NotDecodable:
        return False
    return True


def _miss_status(rows: int, missing: int, own: dict[Flight, list[int]], context: Context) -> str:
    if rows > 1:
        return f'mlserve; detail="memory={rows - missing} miss={missing}"'
    if not own:
        return "mlserve; fwd=miss; collapsed"
    return "mlserve; fwd=request; stored" if context.cache is CacheUse.NO_CACHE else "mlserve; fwd=miss; stored"
