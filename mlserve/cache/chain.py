"""The cache as a ``Predict``: answers from the tiers what this generation has answered before, computes the rest once.

A batch is looked up together, in memory and then with one multi-get in each external tier; only its missing rows go
on, each once, whoever else asks for them meanwhile. Keys carry the generation, so entries of another version cannot be
found, let alone answered.

Between the look into the tiers and the start of a run other requests had their turn: what they stored or began
meanwhile is looked for again, without a wait, before a run is started. So a key is never computed twice at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from time import monotonic

from mlserve.cache import cache_status
from mlserve.cache.flight import Flight, arrival, landing
from mlserve.cache.flights import Flights, Joinable, OnlyOf, any_flight, no_flight
from mlserve.cache.key import KeyMaker
from mlserve.cache.layout import GENERATION_BYTES
from mlserve.cache.lookup import Found, Lookup
from mlserve.cache.merge import Part, Unjoinable, merged
from mlserve.cache.outer import NO_TIERS, OuterTiers
from mlserve.cache.storing import Storing
from mlserve.cache.used_tier import Observe
from mlserve.contracts.memory import Memory
from mlserve.deadlines import Deadlines
from mlserve.errors import DeadlineExceeded, NotCached, NotReady
from mlserve.types import CacheUse, Context, Interface, Predict, Rows


class _NeighbourFailed(Exception):
    """A run that we joined failed, perhaps for rows in it that are not ours."""


class _NeighbourHasty(Exception):
    """A run that we joined ended long after the deadline of those who were in it before us, and not after ours."""


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
        # Spreads expiries, guards nothing.
        self._storing = Storing(self._lookup, self._owned, random or Random())  # noqa: S311
        self._flights = Flights(predict, self._storing.add)
        self._deadlines = Deadlines()
        self._observe_joined = observe_joined
        self._clock = clock
        self._closed = False

    def keys(self, rows: Rows) -> list[bytes]:
        """The full keys of ``rows``, generation in front."""
        prefix = self.prefix
        return [prefix + key.encode("utf-8", "surrogatepass") for key in self._keys.keys(rows)]

    async def __call__(self, rows: Rows, context: Context) -> Rows:
        """Raises ``NotCached`` for a caller that wants nothing computed, and what the ``Predict`` behind raises."""
        if context.cache is CacheUse.NO_STORE or self._storing.uncacheable or not rows.count:
            if rows.count:
                self._lookup.skipped(rows.count)
            return await self._bypass(rows, context)
        keys = self.keys(rows)
        joinable: Joinable = no_flight if context.cache is CacheUse.NO_CACHE else any_flight
        while True:
            try:
                return await self._answer(keys, rows, context, joinable)
            except Unjoinable:
                # Rows of one request whose answers have different shapes: only a run of their own joins them.
                return await self._bypass(rows, context)
            except _NeighbourFailed:
                joinable = OnlyOf(keys)
            except _NeighbourHasty:
                pass

    async def close(self) -> None:
        """Refuses new rows; waits for flights, also for those that outlived their callers."""
        self._closed = True
        await self._flights.landed()

    def _owned(self, flight: Flight, keys: Sequence[bytes]) -> Sequence[int]:
        return self._flights.owned(flight, keys)

    async def _bypass(self, rows: Rows, context: Context) -> Rows:
        self._refuse_if_closed()
        context.cache_status = cache_status.BYPASS
        return await self._predict(rows, context)

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise NotReady("this version of the model is closing")

    async def _answer(self, keys: list[bytes], rows: Rows, context: Context, joinable: Joinable) -> Rows:
        self._refuse_if_closed()
        found: list[Found] = []
        missing: Sequence[int] = range(len(keys))
        if context.cache is CacheUse.NO_CACHE:
            self._lookup.skipped(len(keys))
        else:
            in_memory, missing = self._lookup.in_memory(keys)
            if in_memory is not None:
                if not missing:
                    return self._from_memory(in_memory, keys, context)
                found.append(in_memory)
            if self._lookup.has_outer:
                missing = await self._look_outside(keys, rows, missing, found, context, joinable)
        if not missing:
            context.cache_status = cache_status.all_found(len(keys), found)
            return found[0].rows if len(keys) == 1 else merged([(part.rows, part.places) for part in found])
        if context.cache is CacheUse.ONLY_IF_CACHED:
            raise NotCached(f"{len(missing)} of {len(keys)} rows are not cached, and only-if-cached was asked for")
        if self._clock() >= context.deadline:
            raise DeadlineExceeded("the deadline passed before anything began")
        if len(keys) == 1:
            return await self._compute_one(keys, rows, context, joinable)
        own, joined = self._flights_for(keys, rows, missing, context, joinable)
        context.cache_status = cache_status.some_missing(
            len(keys),
            found,
            len(missing),
            joined=not own,
            wanted_anew=context.cache is CacheUse.NO_CACHE,
            stored=self._lookup.writable,
        )
        flights = {**joined, **own}
        for failed in await arrival(flights, context.deadline, self._deadlines):
            _raise_failure(failed, keys, joined=failed in joined)
        parts: list[Part] = [(part.rows, part.places) for part in found]
        for flight, places in flights.items():
            parts.append(_rows_of(flight, [keys[place] for place in places], places))
        return merged(parts)

    async def _compute_one(self, keys: list[bytes], row: Rows, context: Context, joinable: Joinable) -> Rows:
        """As for many rows; most requests have one, and nothing to put together."""
        flight = self._flights.of(keys[0], joinable)
        joined = flight is not None
        if flight is None:
            flight = self._flights.start(keys, row, context)
        else:
            self._observe_joined(1)
        context.cache_status = cache_status.some_missing(
            1,
            (),
            1,
            joined=joined,
            wanted_anew=context.cache is CacheUse.NO_CACHE,
            stored=self._lookup.writable,
        )
        if not flight.answered:
            await landing(flight, context.deadline, self._deadlines)
        if flight.failed:
            _raise_failure(flight, keys, joined=joined)
        return _rows_of(flight, keys, (0,))[0]

    def _from_memory(self, found: Found, keys: Sequence[bytes], context: Context) -> Rows:
        if len(keys) == 1:
            context.cache_status = cache_status.all_in_memory(1, self._lookup.remaining_s(keys[0]))
            context.stored_as = keys[0]
        else:
            context.cache_status = cache_status.all_in_memory(len(keys), None)
            context.stored_as = None
        return found.rows

    async def _look_outside(
        self,
        keys: Sequence[bytes],
        rows: Rows,
        missing: Sequence[int],
        found: list[Found],
        context: Context,
        joinable: Joinable,
    ) -> Sequence[int]:
        """Adds to ``found`` what the external tiers hold of ``missing``; answers the places of what they do not."""
        places = missing
        if self._flights and context.cache is not CacheUse.ONLY_IF_CACHED:
            # What is being computed at this moment is not worth a look: nobody else may have it before we do.
            places = [place for place in missing if self._flights.of(keys[place], joinable) is None]
        if not places:
            return missing
        outside, taken = await self._lookup.outside(keys, rows, places, context.deadline)
        self._refuse_if_closed()
        found += outside
        return [place for place in missing if place not in taken]

    def _flights_for(
        self,
        keys: Sequence[bytes],
        rows: Rows,
        missing: Sequence[int],
        context: Context,
        joinable: Joinable,
    ) -> tuple[dict[Flight, list[int]], dict[Flight, list[int]]]:
        """A flight of our own for keys that nobody computes yet, those of others for the rest; places for each."""
        fresh: dict[bytes, int] = {}
        joined: dict[Flight, list[int]] = {}
        ours = []
        for place in missing:
            flight = self._flights.of(keys[place], joinable)
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
        return {self._flights.start(list(fresh), wanted, context): ours}, joined


def _raise_failure(failed: Flight, keys: Sequence[bytes], *, joined: bool) -> None:
    """What comes of it for a request of ``keys`` that waited for it."""
    if joined and not failed.place_of.keys() <= set(keys):
        raise _NeighbourFailed
    if joined and isinstance(failed.error, DeadlineExceeded):
        raise _NeighbourHasty
    failed.result()


def _rows_of(flight: Flight, keys: Sequence[bytes], places: Sequence[int]) -> Part:
    """The rows of ``keys`` from a flight that has landed well."""
    answer = flight.result()
    if keys == flight.keys:
        return answer, places
    place_of = flight.place_of
    return answer.take([place_of[key] for key in keys]), places
