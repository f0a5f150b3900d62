"""The cache as a ``Predict``: answers from the tiers what this generation has answered before, computes the rest once.

A batch is looked up together, in memory and then with one multi-get in each external tier; only its missing rows go
on, each once, whoever else asks for them meanwhile. Keys carry the generation, so entries of another version cannot be
found, let alone answered.

Between the look into the tiers and the start of a run other requests had their turn: what they stored or began
meanwhile is looked for again, without a wait, before a run is started. So a key is never computed twice at once.
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
from mlserve.cache.layout import GENERATION_BYTES
from mlserve.cache.lookup import MEMORY, Found, Lookup, Observe
from mlserve.cache.merge import Part, Unjoinable, merged
from mlserve.cache.outer import NO_TIERS, OuterTiers
from mlserve.cache.payload import NotEncodable, encode
from mlserve.contracts.memory import Memory
from mlserve.errors import DeadlineExceeded, NotCached, NotReady
from mlserve.types import CacheUse, Context, Interface, Predict, Rows

logger = logging.getLogger(__name__)

JITTER: Final = 0.1
"""Lives are shortened by up to this share, so that entries stored together do not expire together."""


class _NeighbourFailed(Exception):
    """A run that we joined failed, perhaps for rows in it that are not ours."""


class CacheChain:
    """One deployment's chain. Call it, then :meth:`close` it once its callers have left.

    ``generation`` is in hex. ``memory`` is ``None`` where there is no such tier, ``outer`` has no tiers where there are
    none. ``observe_joined`` is told how many rows waited for a run that was already in progress.
    """

    def __init__(
        self,
        predict: Predict,
        *,
        interface: Interface,
        generation: str,
        memory: Memory | None,
        ttl_s: float,
        outer: OuterTiers = NO_TIERS,
        observe: Observe = lambda tier, result, rows: None,
        observe_joined: Callable[[int], None] = lambda rows: None,
        random: Random | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.prefix = bytes.fromhex(generation[: 2 * GENERATION_BYTES])
        self._predict = predict
        self._keys = KeyMaker(interface)
        self._lookup = Lookup(memory, ttl_s, outer, observe)
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
            self._lookup.skipped(rows.count)
        context.cache_status = "mlserve; fwd=bypass"
        return await self._predict(rows, context)

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise NotReady("this version of the model is closing")

    async def _answer(self, keys: list[bytes], rows: Rows, context: Context, *, join: bool) -> Rows:
        self._refuse_if_closed()
        found: list[Found] = []
        missing: Sequence[int] = range(len(keys))
        if context.cache is CacheUse.NO_CACHE:
            self._lookup.skipped(len(keys))
        else:
            in_memory, missing = self._lookup.in_memory(keys)
            if in_memory is not None:
                if not missing:
                    context.cache_status = self._memory_status(keys)
                    context.stored_as = keys[0] if len(keys) == 1 else None
                    return in_memory.rows
                found.append(in_memory)
            if self._lookup.has_outer:
                missing = await self._look_outside(keys, rows, missing, found, context, join=join)
        if not missing:
            context.cache_status = _found_status(len(keys), found)
            return merged([(part.rows, part.places) for part in found])
        if context.cache is CacheUse.ONLY_IF_CACHED:
            raise NotCached(f"{len(missing)} of {len(keys)} rows are not cached, and only-if-cached was asked for")
        if self._clock() >= context.deadline:
            raise DeadlineExceeded("the deadline passed before anything began")
        own, joined = self._flights_for(keys, rows, missing, context, join=join)
        context.cache_status = _run_status(len(keys), found, len(missing), own, context)
        flights = {**joined, **own}
        for failed in await arrival(flights, context.deadline):
            if failed in joined and not failed.place_of.keys() <= set(keys):
                raise _NeighbourFailed
            failed.task.result()
        parts: list[Part] = [(part.rows, part.places) for part in found]
        for flight, places in flights.items():
            parts.append(_rows_of(flight, [keys[place] for place in places], places))
        return merged(parts)

    async def _look_outside(
        self,
        keys: Sequence[bytes],
        rows: Rows,
        missing: Sequence[int],
        found: list[Found],
        context: Context,
        *,
        join: bool,
    ) -> Sequence[int]:
        """Adds to ``found`` what the external tiers hold of ``missing``; answers the places of what they do not."""
        # What is being computed at this moment is not worth a look: nobody else may have it before we do.
        places = [place for place in missing if not join or keys[place] not in self._flights]
        if not places:
            return missing
        outside, taken = await self._lookup.outside(keys, rows, places, context.deadline)
        self._refuse_if_closed()
        found += outside
        return [place for place in missing if place not in taken]

    def _memory_status(self, keys: Sequence[bytes]) -> str:
        if len(keys) > 1:
            return f'mlserve; detail="memory={len(keys)}"'
        ttl_s = self._lookup.remaining_s(keys[0])
        return "memory; hit" if ttl_s is None else f"memory; hit; ttl={int(ttl_s)}"

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
        shares = [1 - JITTER * self._random.random() for _ in payloads]
        keys = list(flight.place_of)
        places = [place for place, key in enumerate(keys) if self._flights.get(key) is flight]
        if len(places) == len(keys):
            self._lookup.store(keys, flight.rows, payloads, shares)
        elif places:
            self._lookup.store(
                [keys[place] for place in places],
                flight.rows.take(places),
                [payloads[place] for place in places],
                [shares[place] for place in places],
            )


def _rows_of(flight: Flight, keys: Sequence[bytes], places: Sequence[int]) -> Part:
    """The rows of ``keys`` from a flight that has landed well."""
    answer = flight.task.result()
    own_places = [flight.place_of[key] for key in keys]
    if own_places == list(range(answer.count)):
        return answer, places
    return answer.take(own_places), places


def _found_status(rows: int, found: Sequence[Found]) -> str:
    """Of a request whose rows were all found, not all of them in memory."""
    if rows > 1:
        return _batch_status(found, 0)
    ttl_s = found[0].ttl_s
    return f"{found[0].label}; hit" if ttl_s is None else f"{found[0].label}; hit; ttl={int(ttl_s)}"


def _run_status(rows: int, found: Sequence[Found], missing: int, own: dict[Flight, list[int]], context: Context) -> str:
    if rows > 1:
        return _batch_status(found, missing)
    if not own:
        return "mlserve; fwd=miss; collapsed"
    return "mlserve; fwd=request; stored" if context.cache is CacheUse.NO_CACHE else "mlserve; fwd=miss; stored"


def _batch_status(found: Sequence[Found], missing: int) -> str:
    counts = {MEMORY: 0}
    for part in found:
        counts[part.label] = counts.get(part.label, 0) + len(part.places)
    if missing:
        counts["miss"] = missing
    return 'mlserve; detail="' + " ".join(f"{label}={count}" for label, count in counts.items()) + '"'
