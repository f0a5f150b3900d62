"""A store's trouble would become a request's, or be hidden from the breaker, if these failed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from mlserve.cache.connection import FAILURES
from mlserve.cache.ending import LET_GO_S
from mlserve.cache.tier import FLUSH_S, Tier, TierDown, TierFailed
from mlserve.contracts.store import StoreFault
from tests.support import virtual_time
from tests.support.fake_store import FakeStore, connected
from tests.support.virtual_time import in_virtual_time


@asynccontextmanager
async def opened(store: FakeStore) -> AsyncIterator[Tier[bytes, bytes]]:
    connection = connected(store)
    tier: Tier[bytes, bytes] = Tier(connection, lambda store: store.entries(None, None), label="connection shared")
    await connection.up.wait()
    try:
        yield tier
    finally:
        await tier.close()
        await connection.close()


class Misfit(FakeStore):
    """Does what the contract forbids, as somebody else's store may."""

    def __init__(self, *, at_once: bool) -> None:
        super().__init__(at_once=at_once)
        self.odd: Exception | None = None
        self.many = False

    async def get_many(self, names: Sequence[bytes]) -> list[bytes | None]:
        if self.odd is not None:
            raise self.odd
        return [*await super().get_many(names), *([b"one more"] if self.many else [])]


@pytest.mark.parametrize("at_once", [True, False])
@in_virtual_time
async def test_whatever_a_store_raises_is_a_failure_of_the_tier(at_once: bool) -> None:
    """And opens the breaker: each request would pay for it, and fill the log."""
    store = Misfit(at_once=at_once)
    async with opened(store) as tier:
        store.odd = KeyError("odd")
        for _ in range(FAILURES):
            with pytest.raises(TierFailed):
                await tier.get_many([b"a"], 1.0)
        with pytest.raises(TierDown):
            await tier.get_many([b"a"], 1.0)


@pytest.mark.parametrize("at_once", [True, False])
@in_virtual_time
async def test_a_store_that_answers_too_much_is_not_believed(at_once: bool) -> None:
    """Which value would belong to which name?"""
    store = Misfit(at_once=at_once)
    async with opened(store) as tier:
        store.many = True
        with pytest.raises(TierFailed, match="2 values for 1 names"):
            await tier.get_many([b"a"], 1.0)


@in_virtual_time
async def test_a_store_without_the_part_that_is_asked_for() -> None:
    """A namespace that nobody gave: reads fail, writes wait, and no request hears of it."""
    connection = connected(FakeStore())
    await connection.up.wait()

    def no_such_part(store: object) -> FakeStore:
        raise StoreFault("needs a Namespace")

    tier: Tier[bytes, bytes] = Tier(connection, no_such_part, label="connection shared")
    with pytest.raises(TierFailed, match="Namespace"):
        await tier.get_many([b"a"], 1.0)
    tier.put(b"a", b"v", 60.0, 1, lambda seconds: None)
    await asyncio.sleep(1)
    assert len(tier.writes) == 1
    await tier.close()
    await connection.close()


@in_virtual_time
async def test_what_is_in_line_is_not_asked_for() -> None:
    """The rest is, and comes in place."""
    store = FakeStore()
    async with opened(store) as tier:
        store.held = {b"b": b"2"}
        store.delay_s = 0.005
        tier.put(b"a", b"1", 60.0, 1, lambda seconds: None)
        assert await tier.get_many([b"c", b"a", b"b"], 1.0) == [None, b"1", b"2"]
        assert store.reads == [[b"c", b"b"]]


@in_virtual_time
async def test_the_end_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    """A stop must end, though a store hangs in a write and does not let go of it."""
    caplog.set_level(logging.WARNING)
    freed = asyncio.Event()

    class Stubborn(FakeStore):
        async def put_many(self, items: Sequence[tuple[bytes, bytes, float]]) -> None:
            while not freed.is_set():
                try:
                    await freed.wait()
                except asyncio.CancelledError:
                    continue

    async with opened(Stubborn()) as tier:
        tier.put(b"a", b"v", 60.0, 1, lambda seconds: None)
        await asyncio.sleep(0.1)
        start = virtual_time.clock()
        await tier.close()
        assert virtual_time.clock() - start == pytest.approx(FLUSH_S + LET_GO_S)
        assert "do not let go" in caplog.text
        freed.set()
        await asyncio.sleep(LET_GO_S)
