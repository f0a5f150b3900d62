"""Answers of flights on their way into the tiers: those that came in one step of the loop are written together.

Their callers have them already. To encode thirty rows takes little longer than to encode one, and a batch answers that
many flights at once. A flight can be joined until it is stored, so nobody computes its rows anew in between.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

from mlserve.cache.flight import Flight
from mlserve.cache.lookup import Lookup
from mlserve.cache.merge import Unjoinable, concatenated
from mlserve.cache.payload import NotEncodable, encode
from mlserve.cache.portions import PORTION, portions
from mlserve.types import Rows

logger = logging.getLogger(__name__)

JITTER: Final = 0.1
"""Lives are shortened by up to this share, so that entries stored together do not expire together."""

TOGETHER: Final = 128
"""Rows of several flights that are encoded together: of more, the first have left the processor's cache by the last."""

Owned = Callable[[Flight, Sequence[bytes]], Sequence[int]]


@dataclass(slots=True)
class _Portion:
    """Some keys of a flight, their rows and the answers to those."""

    flight: Flight
    keys: Sequence[bytes]
    rows: Rows
    answer: Rows
    last: bool
    """Nothing of this flight is left to store after it."""


class Storing:
    """One chain's. ``owned`` tells the places of the keys that no later flight has taken over: those are left to it.

    ``uncacheable`` is set by the first answer that no entry can hold: then nothing more is stored.
    """

    def __init__(self, lookup: Lookup, owned: Owned, random: Random) -> None:
        self.uncacheable = False
        self._lookup = lookup
        self._owned = owned
        self._random = random.random
        self._waiting: deque[_Portion] = deque()

    def add(self, flight: Flight, answer: Rows) -> None:
        """Stores it soon; the flight lands then."""
        if not self._waiting:  # else the next step is planned already
            asyncio.get_running_loop().call_soon(self._next)
        keys, rows = flight.keys, flight.rows
        if len(keys) <= PORTION:
            self._waiting.append(_Portion(flight, keys, rows, answer, last=True))
            return
        for places in portions(range(len(keys))):
            some = slice(places[0], places[-1] + 1)
            last = some.stop == len(keys)
            self._waiting.append(_Portion(flight, keys[some], rows.take(some), answer.take(some), last))

    def _next(self) -> None:
        """No more than a portion in each step of the loop."""
        room = PORTION
        while self._waiting and len(self._waiting[0].keys) <= room:
            together = self._together()
            room -= sum([len(portion.keys) for portion in together])
            self._store(together)
            for portion in together:
                if portion.last:
                    portion.flight.land()
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._next)

    def _together(self) -> list[_Portion]:
        taken = [self._waiting.popleft()]
        room = TOGETHER - len(taken[0].keys)
        while self._waiting and len(self._waiting[0].keys) <= room:
            taken.append(self._waiting.popleft())
            room -= len(taken[-1].keys)
        return taken

    def _store(self, portions: Sequence[_Portion]) -> None:
        try:
            self._write([_of_owner(portion, self._owned(portion.flight, portion.keys)) for portion in portions])
        except NotEncodable as error:
            if not self.uncacheable:
                logger.warning("an answer cannot be cached (%s): the cache of this version is off", error)
            self.uncacheable = True
        except Exception:  # an answer that cannot be kept is an answer
            logger.exception("an answer was not stored")

    def _write(self, portions: Sequence[_Portion]) -> None:
        try:
            answer = concatenated([portion.answer for portion in portions])
            # Memory goes by keys alone: the rows are for layouts outside, which may name entries by their values.
            rows = concatenated([portion.rows for portion in portions]) if self._lookup.has_outer else _NO_ROWS
        except Unjoinable:
            for portion in portions:
                self._write([portion])
            return
        keys = [key for portion in portions for key in portion.keys]
        if keys:
            random = self._random
            self._lookup.store(keys, rows, encode(answer), [1 - JITTER * random() for _ in keys])


_NO_ROWS: Final = Rows({}, 0)


def _of_owner(portion: _Portion, places: Sequence[int]) -> _Portion:
    if len(places) == len(portion.keys):
        return portion
    keys = [portion.keys[place] for place in places]
    return _Portion(portion.flight, keys, portion.rows.take(places), portion.answer.take(places), portion.last)
