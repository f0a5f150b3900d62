"""The chain over external tiers: a row is computed once, wherever it is stored; no tier can make an answer wrong."""

from __future__ import annotations

import asyncio

import pytest

from mlserve.errors import DeadlineExceeded, NotCached
from mlserve.types import CacheUse
from tests.support.fake_store import FakeStore
from tests.support.replica import Model, Replica
from tests.support.virtual_time import in_virtual_time


@in_virtual_time
async def test_what_one_replica_computed_the_other_answers() -> None:
    """The point of a shared tier; a second time it comes from memory."""
    store = FakeStore()
    async with Replica(store) as one, Replica(store) as two:
        assert await one.ask(3) == ([6], "mlserve; fwd=miss; stored")
        await one.written()
        answer, status = await two.ask(3)
        assert answer == [6]
        assert status.startswith("l1; hit; ttl=")
        assert (await two.ask(3))[1].startswith("memory; hit; ttl=")
        assert two.model.runs == []


@in_virtual_time
async def test_a_batch_says_where_its_rows_came_from() -> None:
    """And only what nobody has is computed, once each, in place."""
    store = FakeStore()
    async with Replica(store) as one, Replica(store) as two:
        await one.ask(2, 4)
        await one.written()
        await two.ask(1)
        assert await two.ask(1, 2, 3, 4, 3) == ([2, 4, 6, 8, 6], 'mlserve; detail="memory=1 l1=2 miss=2"')
        assert two.model.runs == [[1], [3]]
        assert await two.ask(4, 3) == ([8, 6], 'mlserve; detail="memory=2"')


@in_virtual_time
async def test_another_version_finds_nothing() -> None:
    """Roll-outs: two generations share a store and never an answer."""
    store = FakeStore()
    async with Replica(store) as old, Replica(store, generation="f" * 64) as new:
        await old.ask(3)
        await old.written()
        assert await new.ask(3) == ([6], "mlserve; fwd=miss; stored")
        await new.written()
        assert len(store.held) == 2
    async with Replica(store) as rolled_back:
        assert (await rolled_back.ask(3))[1].startswith("l1; hit")


@pytest.mark.parametrize("memory", [True, False])
@pytest.mark.parametrize("at_once", [True, False])
@in_virtual_time
async def test_a_thousand_callers_of_a_cold_row_cost_one_run(memory: bool, at_once: bool) -> None:
    """Whenever they come: before the read, in it, in the run, and after it while the write is in line."""
    store = FakeStore(at_once=at_once)
    async with Replica(store, Model(0.02), memory=memory) as replica:
        store.delay_s = 0.0 if at_once else 0.005
        tasks = []
        for _ in range(10):
            tasks += [asyncio.create_task(replica.ask(3)) for _ in range(100)]
            await asyncio.sleep(0.003)
        answers = await asyncio.gather(*tasks)
        assert {tuple(answer) for answer, _ in answers} == {(6.0,)}
        assert replica.model.runs == [[3]]
        assert (await replica.ask(3))[0] == [6]
        assert replica.model.runs == [[3]]


@in_virtual_time
async def test_a_row_that_is_computed_is_not_looked_up_outside() -> None:
    """Nobody else has it yet: the caller joins at once."""
    store = FakeStore()
    async with Replica(store, Model(0.05)) as replica:
        first = asyncio.create_task(replica.ask(3))
        while not replica.model.runs:
            await asyncio.sleep(0.001)
        before = len(store.reads)
        assert await replica.ask(3) == ([6], "mlserve; fwd=miss; collapsed")
        assert len(store.reads) == before
        await first


@in_virtual_time
async def test_no_cache_replaces_what_is_stored_outside() -> None:
    """And reads nothing."""
    store = FakeStore()
    async with Replica(store) as replica:
        await replica.ask(3)
        await replica.written()
        reads = len(store.reads)
        assert await replica.ask(3, cache=CacheUse.NO_CACHE) == ([6], "mlserve; fwd=request; stored")
        await replica.written()
        assert len(store.reads) == reads
        assert len(store.writes) == 2
        assert replica.lookups["l1", "skipped"] == 1


@in_virtual_time
async def test_no_store_neither_reads_nor_writes() -> None:
    """Outside as in memory."""
    store = FakeStore()
    async with Replica(store) as replica:
        assert await replica.ask(3, cache=CacheUse.NO_STORE) == ([6], "mlserve; fwd=bypass")
        await replica.written()
        assert store.reads == []
        assert store.writes == []


@in_virtual_time
async def test_only_if_cached_looks_outside_too() -> None:
    """504 only if no tier has it."""
    store = FakeStore()
    async with Replica(store) as one, Replica(store) as two:
        await one.ask(3)
        await one.written()
        assert (await two.ask(3, cache=CacheUse.ONLY_IF_CACHED))[1].startswith("l1; hit")
        with pytest.raises(NotCached):
            await two.ask(3, 4, cache=CacheUse.ONLY_IF_CACHED)
        assert two.model.runs == []


@in_virtual_time
async def test_a_caller_whose_time_is_up_waits_for_no_tier() -> None:
    """Its deadline, not the tier's, ends its wait."""
    store = FakeStore()
    async with Replica(store) as replica:
        store.gate = asyncio.Event()
        with pytest.raises(DeadlineExceeded):
            await replica.ask(3, seconds=0.005)
        store.gate.set()
        assert replica.model.runs == []


@in_virtual_time
async def test_a_caller_that_leaves_in_a_read_harms_nobody() -> None:
    """Those who wait for the same read get their answer."""
    store = FakeStore()
    async with Replica(store) as replica:
        store.delay_s = 0.005
        leaves = asyncio.create_task(replica.ask(3))
        stays = asyncio.create_task(replica.ask(3))
        await asyncio.sleep(0.001)
        leaves.cancel()
        assert (await stays)[0] == [6]
        with pytest.raises(asyncio.CancelledError):
            await leaves


@pytest.mark.parametrize("at_once", [True, False])
@in_virtual_time
async def test_a_store_that_fails_costs_no_answer(at_once: bool) -> None:
    """Reads, writes, both: the model answers."""
    store = FakeStore(at_once=at_once)
    async with Replica(store) as replica:
        store.down = "reset by peer"
        for x in range(10):
            assert await replica.ask(x) == ([2 * x], "mlserve; fwd=miss; stored")
        assert replica.lookups["l1", "error"] >= 1
        assert replica.lookups["l1", "skipped"] >= 1


@in_virtual_time
async def test_entries_that_are_no_answers_are_computed_anew_and_replaced() -> None:
    """Whatever somebody else put there."""
    store = FakeStore()
    async with Replica(store) as one:
        await one.ask(3)
        await one.written()
        (name,) = store.held
        for poison in (b"", b"\x00", b"\x01" * 50, store.held[name][:-1], b"x" * 2_000_000):
            store.held[name] = poison
            async with Replica(store) as two:
                assert await two.ask(3) == ([6], "mlserve; fwd=miss; stored")
                assert two.lookups["l1", "error"] == 1
                await two.written()
            assert store.held[name] != poison
