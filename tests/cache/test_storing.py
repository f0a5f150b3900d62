"""Answers would be stored under other rows' keys, twice, never, or while everybody waits, if these failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

import numpy as np
import pytest

from mlserve.cache.flight import Flight
from mlserve.cache.lookup import Lookup
from mlserve.cache.outer import NO_TIERS
from mlserve.cache.payload import decode
from mlserve.cache.portions import PORTION
from mlserve.cache.storing import JITTER, TOGETHER, Storing
from mlserve.promise import Promise
from mlserve.stores.memory import MemoryStore
from mlserve.types import Context, Rows
from tests.support.deployments import rows
from tests.support.held_predict import double, turns


class Memory(MemoryStore):
    """Notes the lives of what is put."""

    def __init__(self) -> None:
        super().__init__(64 << 20)
        self.lives: dict[bytes, float] = {}

    def put(self, key: bytes, value: bytes, ttl_s: float) -> None:
        assert key not in self.lives, "stored twice"
        self.lives[key] = ttl_s
        super().put(key, value, ttl_s)


class Stored:
    """A :class:`Storing` over memory alone; flights answer with what ``answer`` makes of their rows, in that call."""

    def __init__(self, memory: MemoryStore | None = None) -> None:
        self.memory = Memory() if memory is None else memory
        self.taken_over: set[bytes] = set()
        self.landed: list[Flight] = []
        lookup = Lookup(self.memory, 900.0, NO_TIERS, lambda tier, result, count: None)
        self.storing = Storing(lookup, self._owned, Random(1))

    def _owned(self, flight: Flight, keys: Sequence[bytes]) -> Sequence[int]:
        return [place for place, key in enumerate(keys) if key not in self.taken_over]

    def fly(self, *xs: float, answer: Mapping[str, Any] | None = None) -> Flight:
        asked = rows(x=list(xs))
        keys = [key(x) for x in xs]
        flight = Flight(keys, asked, Context(0.0), store=self.storing.add, landed=self._land)
        made = double(asked) if answer is None else Rows(answer, len(xs))
        flight.depart(lambda asked, context: Promise.of(made))
        return flight

    def _land(self, flight: Flight) -> None:
        if flight.landed:
            self.landed.append(flight)

    def held(self, *xs: float) -> list[Any]:
        return [None if (found := self.memory.get(key(x))) is None else decode([found]) for x in xs]


def key(x: float) -> bytes:
    return f"{x:g}".encode()


async def test_answers_of_one_step_are_stored_when_it_ends() -> None:
    """Each under its own key, with a life of its own, whoever it came with."""
    stored = Stored()
    flights = [stored.fly(1), stored.fly(2, 3), stored.fly(4)]
    assert all(flight.answered for flight in flights), "callers need not wait for that"
    assert stored.landed == []
    await turns(1)
    assert stored.landed == flights
    assert [found.columns["y"].tolist() for found in stored.held(1, 2, 3, 4)] == [[2], [4], [6], [8]]
    assert isinstance(stored.memory, Memory)
    lives = stored.memory.lives.values()
    assert len(set(lives)) == 4
    assert all(900 * (1 - JITTER) <= life <= 900 for life in lives)


async def test_answers_that_no_array_holds_together_are_stored_one_by_one() -> None:
    """A column of floats would make floats of its neighbour's integers; a wider row fits no array of narrow ones."""
    stored = Stored()
    answers = [np.array([7]), np.array([0.5]), np.ones((1, 3)), np.array(["a"], object), np.array([7], np.int32)]
    flights = [stored.fly(x, answer={"y": column}) for x, column in enumerate(answers)]
    flights.append(stored.fly(9, answer={"z": np.array([1])}))
    await turns(1)
    assert stored.landed == flights
    for found, column in zip(stored.held(*range(5)), answers, strict=True):
        assert found.columns["y"].dtype == column.dtype
        np.testing.assert_array_equal(found.columns["y"], column)
    assert stored.held(9)[0].columns["z"].tolist() == [1]


async def test_many_answers_are_stored_a_portion_at_a_time() -> None:
    """The loop has its turn in between, and a flight lands with the last of its rows."""
    stored = Stored()
    large = stored.fly(*range(2 * PORTION + 10))
    small = [stored.fly(x) for x in range(5_000, 5_000 + TOGETHER + 1)]
    assert not large.answered, "who asks for that much waits until it is kept"
    steps = []
    while not small[-1].landed:
        await turns(1)
        steps.append(len(stored.memory))
    assert stored.landed == [large, *small]
    assert large.answered
    assert len(steps) == 3
    assert max(np.diff([0, *steps])) <= PORTION
    assert [found.columns["y"].item() for found in stored.held(0, PORTION, 2 * PORTION + 9, 5_000)] == [
        0,
        2 * PORTION,
        4 * PORTION + 18,
        10_000,
    ]


async def test_what_a_later_flight_has_taken_over_is_left_to_it() -> None:
    """It was asked for anew: the older answer must not be what others find."""
    stored = Stored()
    stored.taken_over = {key(2), key(5)}
    stored.fly(1, 2, 3)
    lost = stored.fly(5)
    await turns(1)
    assert [found and found.columns["y"].tolist() for found in stored.held(1, 2, 3, 5)] == [[2], None, [6], None]
    assert lost.landed


async def test_an_answer_that_no_entry_can_hold_ends_the_cache_with_one_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """And nobody waits for ever to join it."""
    stored = Stored()
    for x in (1, 2):
        stored.fly(x, answer={"y": np.array([object()])})
        await turns(1)
    assert stored.storing.uncacheable
    assert len(stored.landed) == 2
    assert caplog.text.count("cannot be cached") == 1


async def test_a_fault_in_storing_is_nobodys_failure(caplog: pytest.LogCaptureFixture) -> None:
    """The answer is right and its callers have it; the flight must not stay in the air for it."""

    class Broken(MemoryStore):
        def put(self, key: bytes, value: bytes, ttl_s: float) -> None:
            raise OSError("odd")

    stored = Stored(Broken(1 << 20))
    flight = stored.fly(1)
    await turns(1)
    assert flight.landed
    assert not flight.failed
    assert "was not stored" in caplog.text
