"""A thousand requests would mean a thousand round trips, or one caller's trouble be everybody's, if these failed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from mlserve.cache import reads
from mlserve.cache.reads import NAMES_PER_READ, Reads
from mlserve.contracts.store import StoreFault
from tests.support import virtual_time

LIMIT_S = 0.025


class Asked:
    """Reads of a place that answers ``name * 10`` after ``seconds``, with everything written down."""

    def __init__(self, *, seconds: float = 0.01, parallel: int = 1) -> None:
        self.seconds = seconds
        self.fault: Exception | None = None
        self.trips: list[list[int]] = []
        self.told: list[str] = []
        self.reads: Reads[int, int] = Reads(self.fetch, self, label="asked", timeout_s=LIMIT_S, parallel=parallel)

    async def fetch(self, names: Sequence[int]) -> list[int | None]:
        self.trips.append(list(names))
        await asyncio.sleep(self.seconds)
        if self.fault is not None:
            raise self.fault
        return [name * 10 if name >= 0 else None for name in names]

    def succeeded(self) -> None:
        self.told.append("ok")

    def failed(self, error: Exception) -> None:
        self.told.append(type(error).__name__)

    def get(self, *names: int, wait_s: float = 1.0) -> asyncio.Task[list[int | None]]:
        return asyncio.create_task(self.reads.get(names, wait_s))


def test_reads_that_come_while_one_is_under_way_are_one() -> None:
    """And a name that many want is asked for once."""

    async def main() -> None:
        asked = Asked()
        first = asked.get(1)
        await asyncio.sleep(0.001)
        later = [asked.get(2, 3), asked.get(3), asked.get(-1, 2)]
        assert await first == [10]
        assert await asyncio.gather(*later) == [[20, 30], [30], [None, 20]]
        assert asked.trips == [[1], [2, 3, -1]]
        assert asked.told == ["ok", "ok"]
        await asked.reads.close()

    virtual_time.run(main())


def test_as_many_trips_at_once_as_are_worth_while() -> None:
    """A store with four threads is not asked by one."""

    async def main() -> None:
        asked = Asked(parallel=2)
        tasks = []
        for name in range(5):
            tasks.append(asked.get(name))
            await asyncio.sleep(0)
        await asyncio.gather(*tasks)
        assert len(asked.trips) == 3
        await asked.reads.close()

    virtual_time.run(main())


def test_a_caller_that_leaves_harms_nobody() -> None:
    """Neither those in its round trip nor those behind it; and what it wanted is not asked for if it left in time."""

    async def main() -> None:
        asked = Asked()
        first = asked.get(1)
        await asyncio.sleep(0.001)
        leaves, stays = asked.get(2), asked.get(3)
        await asyncio.sleep(0.001)
        first.cancel()
        leaves.cancel()
        assert await stays == [30]
        assert asked.trips == [[1], [3]]
        await asked.reads.close()

    virtual_time.run(main())


def test_no_caller_waits_longer_than_the_limit() -> None:
    """Not even behind a round trip that hangs; its own deadline may be earlier."""

    async def main() -> None:
        asked = Asked(seconds=3600)
        loop = asyncio.get_running_loop()
        start = loop.time()
        tasks = [asked.get(1), asked.get(5, wait_s=0.005)]
        await asyncio.sleep(0.02)
        tasks.append(asked.get(2))
        for task in tasks:
            with pytest.raises(TimeoutError):
                await task
        assert loop.time() - start == pytest.approx(0.02 + LIMIT_S)
        assert asked.told[0] == "TimeoutError"
        await asked.reads.close()

    virtual_time.run(main())


def test_a_loop_that_was_busy_is_not_taken_for_a_slow_store() -> None:
    """An answer that lay ready while we computed something would be thrown away, and the breaker would open."""

    async def main() -> None:
        asked = Asked(seconds=LIMIT_S + 0.001)
        task = asked.get(1)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        loop = asyncio.get_running_loop()
        assert isinstance(loop, virtual_time.VirtualLoop)
        loop.now += 2 * LIMIT_S  # somebody held the loop
        assert await task == [10]
        assert asked.told == ["ok"]
        await asked.reads.close()

    virtual_time.run(main())


def test_a_fault_is_told_to_all_who_wait_and_to_the_breaker_once() -> None:
    """And the next read is a new attempt."""

    async def main() -> None:
        asked = Asked()
        first = asked.get(0)
        await asyncio.sleep(0.001)
        tasks = [asked.get(1), asked.get(2)]
        await first
        asked.fault = StoreFault("reset")
        for task in tasks:
            with pytest.raises(StoreFault, match="reset"):
                await task
        asked.fault = None
        assert await asked.get(4) == [40]
        assert asked.told == ["ok", "StoreFault", "ok"]
        await asked.reads.close()

    virtual_time.run(main())


def test_a_read_in_the_very_step_in_which_another_ends() -> None:
    """It would wait in line with nobody left to work it off."""

    async def main() -> None:
        asked = Asked(seconds=3600)
        for name in range(5):
            with pytest.raises(TimeoutError):
                await asked.reads.get([name], 1.0)
        assert asked.trips == [[0], [1], [2], [3], [4]]
        await asked.reads.close()

    virtual_time.run(main())


def test_large_reads_are_cut_between_requests() -> None:
    """One request stays one round trip; many do not become a single endless one."""

    async def main() -> None:
        asked = Asked(seconds=0.005)
        first = asked.get(0)
        await asyncio.sleep(0.001)
        large = [asked.get(*range(start, start + NAMES_PER_READ - 1)) for start in (10, 10_000)]
        await asyncio.gather(first, *large)
        assert [len(trip) for trip in asked.trips] == [1, NAMES_PER_READ - 1, NAMES_PER_READ - 1]
        await asked.reads.close()

    virtual_time.run(main())


def test_the_line_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests that come on top of a full line do without the tier, at once."""
    monkeypatch.setattr(reads, "MAX_WAITING", 3)

    async def main() -> None:
        asked = Asked()
        tasks = [asked.get(1), asked.get(2, 3)]
        await asyncio.sleep(0)
        with pytest.raises(StoreFault, match="waiting"):
            await asked.reads.get([4, 5], 1.0)
        await asyncio.gather(*tasks)
        assert await asked.get(4) == [40]
        await asked.reads.close()

    virtual_time.run(main())


def test_closed_while_busy() -> None:
    """Those who wait hear of it; nothing is left behind."""

    async def main() -> None:
        asked = Asked(seconds=3600, parallel=2)
        alone, joined = asked.get(1), asked.get(2)
        await asyncio.sleep(0.001)
        in_line = asked.get(3)
        await asyncio.sleep(0.001)
        start = virtual_time.clock()
        await asked.reads.close()
        for task in alone, joined, in_line:
            with pytest.raises(StoreFault, match="closed"):
                await task
        assert virtual_time.clock() == start

    virtual_time.run(main())


def test_closed_twice_and_in_the_step_in_which_time_is_up() -> None:
    """A read that is given up already must not be given up again."""

    async def main() -> None:
        asked = Asked(seconds=3600)
        alone = asked.get(1)
        await asyncio.sleep(LIMIT_S)
        await asked.reads.close()
        await asked.reads.close()
        with pytest.raises((StoreFault, TimeoutError)):
            await alone

    virtual_time.run(main())


def test_the_only_reader_may_leave() -> None:
    """Who comes next must not wait behind a read that nobody wants any more, nor the breaker count it."""

    async def main() -> None:
        asked = Asked(seconds=0.02)
        leaves = asked.get(1)
        await asyncio.sleep(0.001)
        leaves.cancel()
        await asyncio.wait([leaves])
        start = virtual_time.clock()
        assert await asked.get(2) == [20]
        assert virtual_time.clock() - start == pytest.approx(0.02)
        assert asked.told == ["ok"]
        await asked.reads.close()

    virtual_time.run(main())


def test_less_patience_than_the_limit_says_nothing_of_the_store() -> None:
    """A caller in a hurry must not take the store down for all others; yet the store is held to its limit."""

    async def main() -> None:
        asked = Asked(seconds=0.02)
        with pytest.raises(TimeoutError):
            await asked.get(1, wait_s=0.001)
        await asyncio.sleep(0.02)
        assert asked.told == ["ok"]
        asked.seconds = 3600
        with pytest.raises(TimeoutError):
            await asked.get(2, wait_s=0.001)
        await asyncio.sleep(LIMIT_S)
        assert asked.told == ["ok", "TimeoutError"]
        await asked.reads.close()

    virtual_time.run(main())


def test_closed_before_the_first_step() -> None:
    """What stands in line is told at once, not when its time is up; and what comes later does not begin."""

    async def main() -> None:
        asked = Asked(seconds=3600, parallel=2)
        start = virtual_time.clock()
        under_way, in_line = asked.get(1), asked.get(2)
        await asyncio.sleep(0)  # it stands in line; the task that would read for it has not run
        await asked.reads.close()
        for task in under_way, in_line:
            with pytest.raises(StoreFault, match="closed"):
                await task
        with pytest.raises(StoreFault, match="closed"):
            await asked.get(3)
        assert virtual_time.clock() == start
        assert asked.trips == [[1]]

    virtual_time.run(main())
