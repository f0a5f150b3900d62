"""Requests would wait for stores, memory grow without bound, or answers be lost in silence, if these failed."""

from __future__ import annotations

import asyncio
import logging

import pytest

from mlserve.cache import writes
from mlserve.cache.writes import ENTRIES_PER_WRITE, LINGER_S, WriteCounts, Writes
from mlserve.contracts.store import StoreFault, StoreRefused
from tests.support import virtual_time
from tests.support.fake_store import FakeStore


class Written:
    """A line in front of a :class:`FakeStore`."""

    def __init__(self, store: FakeStore | None = None) -> None:
        self.store = store or FakeStore()
        self.up = asyncio.Event()
        self.up.set()
        self.counts = WriteCounts()
        self.took: list[float] = []
        self.writes: Writes[bytes, bytes] = Writes(
            self.store.put_many,
            self.up.wait,
            label="connection shared",
            counts=self.counts,
            timeout_s=1.0,
            clock=virtual_time.clock,
        )

    def put(self, name: bytes, value: bytes = b"v", life_s: float = 60.0, size: int = 10) -> None:
        self.writes.put(name, value, life_s, size, self.took.append)


def names(count: int) -> list[bytes]:
    return [b"%d" % number for number in range(count)]


def test_what_is_put_together_is_written_together() -> None:
    """Each with the life it has left, and its owner hears how long it took."""

    async def main() -> None:
        written = Written()
        written.put(b"a", life_s=60)
        written.put(b"b", life_s=30)
        await asyncio.sleep(2 * LINGER_S)
        assert written.store.writes == [[b"a", b"b"]]
        assert written.store.lives == pytest.approx({b"a": 60 - LINGER_S, b"b": 30 - LINGER_S})
        assert len(written.took) == 1
        assert written.counts == WriteCounts(written=2)
        await written.writes.close()

    virtual_time.run(main())


def test_a_write_waits_a_moment_for_others() -> None:
    """Answers come one by one; a transaction for each would cost more than to compute them."""

    async def main() -> None:
        written = Written()
        for name in names(5):
            written.put(name)
            await asyncio.sleep(LINGER_S / 10)
        await written.writes.flush(1.0)
        assert written.store.writes == [names(5)]
        await written.writes.close()

    virtual_time.run(main())


def test_a_flush_does_not_wait_for_others() -> None:
    """A stop would be that much later; and who flushes once must not have every later answer written alone."""

    async def main() -> None:
        written = Written()
        written.put(b"a")
        flushing = asyncio.create_task(written.writes.flush(1.0))
        await asyncio.sleep(LINGER_S / 10)
        assert written.store.writes == [[b"a"]]
        await flushing
        for name in names(3):
            written.put(name)
            await asyncio.sleep(LINGER_S / 10)
        leaves = asyncio.create_task(written.writes.flush(1.0))
        await asyncio.sleep(0)
        leaves.cancel()
        await asyncio.sleep(LINGER_S / 10)
        assert written.store.writes == [[b"a"], names(3)]
        await written.writes.close()

    virtual_time.run(main())


def test_what_is_in_line_can_be_read() -> None:
    """Else a key without a memory tier would be computed again until it was written; the newest value counts."""

    async def main() -> None:
        written = Written()
        written.store.delay_s = 0.1
        written.put(b"a", b"old")
        written.put(b"a", b"new")
        assert written.writes.get(b"a") == b"new"
        await asyncio.sleep(0.01)
        assert written.writes.get(b"a") == b"new", "on its way"
        written.put(b"a", b"newest")
        assert written.writes.get(b"a") == b"newest"
        await written.writes.flush(1.0)
        assert written.writes.get(b"a") is None
        assert written.store.held == {b"a": b"newest"}
        await written.writes.close()

    virtual_time.run(main())


def test_the_oldest_go_when_the_line_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    """By number and by bytes; each is counted, and the newest are kept."""
    monkeypatch.setattr(writes, "MAX_ENTRIES", 100)
    monkeypatch.setattr(writes, "MAX_BYTES", 50_000)

    async def main() -> None:
        written = Written()
        written.up.clear()
        for name in names(150):
            written.put(name)
        assert len(written.writes) == 100
        assert written.counts.dropped == 50
        assert written.writes.get(b"49") is None
        assert written.writes.get(b"50") is not None
        written.put(b"large", size=30_000)
        assert written.writes.get(b"large") is not None
        assert written.writes.get(b"52") is None
        before = written.counts.dropped
        written.put(b"too large", size=60_000)
        assert written.counts.dropped == before + 1
        written.up.set()
        await written.writes.flush(1.0)
        assert written.counts.written + written.counts.dropped == 152
        await written.writes.close()

    virtual_time.run(main())


def test_a_store_that_is_away_is_waited_for() -> None:
    """And gets what came meanwhile, as far as there was room, once it is back."""

    async def main() -> None:
        written = Written()
        written.up.clear()
        written.put(b"a")
        await asyncio.sleep(100)
        written.put(b"b", life_s=60)
        assert not written.store.writes
        written.up.set()
        await written.writes.flush(1.0)
        assert written.store.held.keys() == {b"b"}, "the first one's time is up"
        await written.writes.close()

    virtual_time.run(main())


def test_many_are_written_in_several_trips() -> None:
    """A round trip stays short."""

    async def main() -> None:
        written = Written()
        for name in names(2 * ENTRIES_PER_WRITE + 1):
            written.put(name)
        await written.writes.flush(1.0)
        assert [len(trip) for trip in written.store.writes] == [ENTRIES_PER_WRITE, ENTRIES_PER_WRITE, 1]
        await written.writes.close()

    virtual_time.run(main())


def test_what_is_refused_is_dropped_and_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """A full store: not a line for every answer, and another when it takes writes again."""
    caplog.set_level(logging.INFO)

    async def main() -> None:
        written = Written()
        written.store.refusal = "out of memory"
        for name in names(20):
            written.put(name)
            await asyncio.sleep(5)
        assert written.counts.dropped > 0
        assert len(written.store.writes) < 20, "it is left alone between"
        written.store.refusal = None
        await asyncio.sleep(60)
        written.put(b"good")
        await written.writes.flush(1.0)
        assert b"good" in written.store.held
        await written.writes.close()

    virtual_time.run(main())
    assert [record.getMessage() for record in caplog.records] == [
        "connection shared does not take writes: out of memory; new answers are not shared",
        "connection shared takes writes again",
    ]


@pytest.mark.parametrize("fault", [StoreFault("reset"), None])
def test_what_the_store_may_not_have_seen_is_written_again(fault: StoreFault | None) -> None:
    """After a reset, and after a write that took too long; what was put meanwhile is the newer."""

    async def main() -> None:
        written = Written()
        store = written.store
        if fault is None:
            store.delay_s = 3600
        else:
            store.down = str(fault)
        written.put(b"a", b"old")
        written.put(b"b", b"kept")
        await asyncio.sleep(0.05)
        written.put(b"a", b"new")
        store.delay_s, store.down = 0.0, None
        await asyncio.sleep(5)
        assert store.held == {b"a": b"new", b"b": b"kept"}
        assert written.counts == WriteCounts(written=2)
        await written.writes.close()

    virtual_time.run(main())


@pytest.mark.parametrize(("seconds", "lines"), [(0.05, 0), (60.0, 2)])
def test_what_fails_once_is_told_by_the_connection_alone(
    seconds: float, lines: int, caplog: pytest.LogCaptureFixture
) -> None:
    """An outage would otherwise be four lines of log instead of two; a store that answers reads alone is told here."""
    caplog.set_level(logging.INFO)

    async def main() -> None:
        written = Written()
        written.store.down = "reset"
        written.put(b"a", life_s=3600)
        await asyncio.sleep(seconds)
        written.store.down = None
        await asyncio.sleep(60)
        assert written.store.held == {b"a": b"v"}
        await written.writes.close()

    virtual_time.run(main())
    assert len(caplog.records) == lines


def test_closed_while_busy() -> None:
    """What is left is counted, what comes later too, and no task stays."""

    async def main() -> None:
        written = Written()
        written.store.delay_s = 0.5
        written.put(b"a")
        await asyncio.sleep(0.1)
        written.put(b"b")
        await written.writes.close()
        written.put(b"c")
        assert written.counts == WriteCounts(dropped=3)
        assert len(written.writes) == 0

    virtual_time.run(main())


def test_a_flush_has_an_end() -> None:
    """A stop must not wait for a store that hangs."""

    async def main() -> None:
        written = Written()
        written.up.clear()
        written.put(b"a")
        start = virtual_time.clock()
        await written.writes.flush(5.0)
        assert virtual_time.clock() - start == pytest.approx(5.0)
        assert len(written.writes) == 1
        await written.writes.close()

    virtual_time.run(main())


def test_a_refusal_is_a_fault() -> None:
    """Whoever catches faults catches refusals."""
    assert issubclass(StoreRefused, StoreFault)
