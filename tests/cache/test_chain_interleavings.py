"""Whatever comes in whatever order, to two processes that share a store which fails as it likes: answers are right.

Right is what the caller's own generation of the model says of its row; it comes in time or an error does; no process
computes a row twice at once; and when everybody has gone nothing is left behind.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mlserve.errors import DeadlineExceeded, NotCached, NotReady
from mlserve.types import CacheUse, Context, Rows
from tests.support import virtual_time
from tests.support.fake_store import FakeStore
from tests.support.replica import Replica

MS: Final = 1e-3
BAD: Final = 9
"""A run that holds this row fails."""
SLACK_S: Final = 0.002


@dataclass(frozen=True)
class Call:
    """A request. Times in milliseconds."""

    at: int
    replica: int
    rows: tuple[int, ...]
    use: CacheUse
    timeout: int
    leaves: int | None


@dataclass(frozen=True)
class Trouble:
    """What befalls the shared store, and for how long."""

    at: int
    lasts: int
    kind: Literal["down", "slow", "hangs", "refuses", "short", "poisoned", "forgets"]


@dataclass(frozen=True)
class Reload:
    """A replica gets another generation; the version before it closes, busy as it may be."""

    at: int
    replica: int


CALLS = st.builds(
    Call,
    at=st.integers(0, 150),
    replica=st.integers(0, 1),
    rows=st.lists(st.integers(0, 5) | st.just(BAD), min_size=1, max_size=4).map(tuple),
    use=st.sampled_from([CacheUse.NORMAL] * 4 + list(CacheUse)),
    timeout=st.integers(1, 200),
    leaves=st.none() | st.integers(0, 60),
)
TROUBLES = st.builds(
    Trouble,
    at=st.integers(0, 150),
    lasts=st.integers(1, 120),
    kind=st.sampled_from(["down", "slow", "hangs", "refuses", "short", "poisoned", "forgets"]),
)
RELOADS = st.builds(Reload, at=st.integers(0, 150), replica=st.integers(0, 1))


class Failed(Exception):
    """What the model raises for a run that holds a bad row."""


class Model:
    """One generation in one process: ``y`` tells which one answered which row. No row runs twice at once in it."""

    def __init__(self, generation: int, run_s: float) -> None:
        self.generation = generation
        self.running: Counter[float] = Counter()
        self.alone = True
        """False while somebody asked for runs of his own."""
        self._run_s = run_s

    def says(self, x: float) -> float:
        return self.generation * 1000 + x

    async def __call__(self, asked: Rows, context: Context) -> Rows:
        xs = asked.columns["x"].tolist()
        assert len(set(xs)) == len(xs) or context.cache is CacheUse.NO_STORE
        self.running.update(xs)
        assert not self.alone or max(self.running.values()) == 1, f"computed twice at once: {self.running}"
        try:
            await asyncio.sleep(self._run_s / 2)
            context.begun = True
            await asyncio.sleep(self._run_s / 2)
        finally:
            self.running.subtract(xs)
        if BAD in xs:
            raise Failed
        return Rows({"y": np.array([self.says(x) for x in xs])}, asked.count)


class Fickle(FakeStore):
    """A fake store with more ways to fail."""

    short = False
    poison = False

    async def get_many(self, names: object) -> list[bytes | None]:
        values = await super().get_many(names)  # type: ignore[arg-type]  # as it came
        if self.short:
            values = values[:-1]
        return [None if value is None else value[:-3] + b"???" for value in values] if self.poison else values

    async def suffer(self, trouble: Trouble) -> None:
        await asyncio.sleep(trouble.at * MS)
        match trouble.kind:
            case "down":
                self.down = "reset by peer"
            case "slow" | "hangs" if self.at_once:
                self.down = "the disk is gone"  # what answers at once never makes anybody wait
            case "slow":
                self.delay_s = 0.01
            case "hangs":
                self.delay_s = 3600
            case "refuses":
                self.refusal = "out of memory"
            case "short":
                self.short = True
            case "poisoned":
                self.poison = True
            case "forgets":
                self.held.clear()
        await asyncio.sleep(trouble.lasts * MS)
        self.down, self.delay_s, self.refusal, self.short, self.poison = None, 0.0, None, False, False


class Process:
    """One replica, and the version that it serves."""

    def __init__(self, store: FakeStore, *, memory: bool, run_s: float, alone: bool) -> None:
        self._store = store
        self._memory = memory
        self._run_s = run_s
        self._alone = alone
        self._generation = 0
        self._closing: set[asyncio.Task[None]] = set()

    async def load(self) -> None:
        """The next generation serves from now on; the one before it closes behind."""
        self._generation += 1
        model = Model(self._generation, self._run_s)
        model.alone = self._alone
        version = Replica(self._store, model, memory=self._memory, generation=f"{self._generation:064x}"[::-1])
        await version.__aenter__()
        before, self.version, self.model = getattr(self, "version", None), version, model
        if before is not None:
            self._closing.add(asyncio.create_task(before.__aexit__()))

    async def ask(self, call: Call) -> None:
        """Asserts that what comes is right. As a request does, it stays with the version that it found."""
        version, model = self.version, self.model
        start = virtual_time.clock()
        try:
            answers, _ = await version.ask(*call.rows, cache=call.use, seconds=call.timeout * MS)
        except Failed:
            assert BAD in call.rows, "failed for rows of others"
        except NotCached:
            assert call.use is CacheUse.ONLY_IF_CACHED
        except DeadlineExceeded:
            assert virtual_time.clock() - start >= call.timeout * MS - SLACK_S
        except NotReady:
            assert version is not self.version, "refused by the version that serves"
        else:
            assert answers == [model.says(x) for x in call.rows]
        if call.use is not CacheUse.NO_STORE:
            assert virtual_time.clock() - start <= call.timeout * MS + SLACK_S

    async def close(self) -> None:
        await self.version.__aexit__()
        await asyncio.gather(*self._closing)
        assert not +self.model.running
        assert len(self.version.chain._flights) == 0


@settings(max_examples=120, deadline=None)
@given(
    calls=st.lists(CALLS, max_size=14),
    troubles=st.lists(TROUBLES, max_size=3),
    reloads=st.lists(RELOADS, max_size=2),
    memory=st.booleans(),
    at_once=st.booleans(),
    run_ms=st.integers(0, 40),
)
def test_answers_are_right_and_rows_computed_once(
    calls: list[Call], troubles: list[Trouble], reloads: list[Reload], memory: bool, at_once: bool, run_ms: int
) -> None:
    """Answers would be mixed up, stale, lost, late, or computed for nothing."""
    virtual_time.run(_play(calls, troubles, reloads, memory=memory, at_once=at_once, run_s=run_ms * MS))


async def _play(
    calls: list[Call],
    troubles: list[Trouble],
    reloads: list[Reload],
    *,
    memory: bool,
    at_once: bool,
    run_s: float,
) -> None:
    store = Fickle(at_once=at_once)
    # Who asks for a run of his own gets one, whoever else computes the same; so does a neighbour of a row that failed.
    alone = all(call.use in (CacheUse.NORMAL, CacheUse.ONLY_IF_CACHED) and BAD not in call.rows for call in calls)
    processes = [Process(store, memory=memory, run_s=run_s, alone=alone) for _ in range(2)]
    for process in processes:
        await process.load()

    async def call_of(call: Call) -> None:
        await asyncio.sleep(call.at * MS)
        asked = asyncio.create_task(processes[call.replica].ask(call))
        if call.leaves is not None:
            await asyncio.sleep(call.leaves * MS)
            asked.cancel()
        try:
            await asked
        except asyncio.CancelledError:
            assert call.leaves is not None

    async def reload_of(reload: Reload) -> None:
        await asyncio.sleep(reload.at * MS)
        await processes[reload.replica].load()

    await asyncio.gather(
        *map(call_of, calls), *map(reload_of, reloads), *(store.suffer(trouble) for trouble in troubles)
    )
    for process in processes:
        await process.close()
