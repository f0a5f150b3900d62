"""The chain over external tiers: a row is computed once, wherever it is stored; no tier can make an answer wrong."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from mlserve.cache.portions import PORTION
from mlserve.errors import DeadlineExceeded, NotCached, NotReady
from mlserve.types import CacheUse, Context, Rows
from tests.support.deployments import rows
from tests.support.fake_store import FakeStore
from tests.support.replica import LIFE_S, Model, Replica
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
async def test_a_tier_that_hangs_leaves_time_for_the_model() -> None:
    """Even if the caller gives less than the tier's own timeout: a frozen store must not turn answers into 504."""
    store = FakeStore()
    async with Replica(store) as replica:
        store.gate = asyncio.Event()
        assert await replica.ask(3, seconds=0.005) == ([6], "mlserve; fwd=miss; stored")
        store.gate.set()


@in_virtual_time
async def test_a_caller_whose_time_is_up_starts_nothing() -> None:
    """Nobody would wait for the run."""
    store = FakeStore()
    async with Replica(store) as replica:
        with pytest.raises(DeadlineExceeded):
            await replica.ask(3, seconds=0.0)
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


@in_virtual_time
async def test_closed_while_a_row_is_looked_up() -> None:
    """The model is about to be freed: a run that began now would end the process."""
    store = FakeStore()
    async with Replica(store) as replica:
        store.delay_s = 0.01
        asked = asyncio.create_task(replica.ask(3))
        await asyncio.sleep(0.001)
        await replica.chain.close()
        with pytest.raises(NotReady):
            await asked
        assert replica.model.runs == []


@pytest.mark.parametrize("memory", [True, False])
@in_virtual_time
async def test_what_was_computed_while_a_tier_was_asked_is_not_computed_again(memory: bool) -> None:
    """By a caller who did not ask it: between a look and a run others had their turn."""
    store = FakeStore()
    async with Replica(store, memory=memory) as replica:
        store.gate = asyncio.Event()
        slow = asyncio.create_task(replica.ask(3))
        await asyncio.sleep(0.001)
        assert (await replica.ask(3, cache=CacheUse.NO_CACHE))[0] == [6]
        store.gate.set()
        answer, status = await slow
        assert answer == [6]
        assert "hit" in status
        assert replica.model.runs == [[3]]


@in_virtual_time
async def test_what_is_found_outside_does_not_take_the_place_of_what_is_younger() -> None:
    """A caller that doubted the answer had a new one stored, while another still read the old one."""
    store = FakeStore()
    async with Replica(store) as one, Replica(store) as two:
        await one.ask(3)
        await one.written()
        await asyncio.sleep(LIFE_S / 2)
        store.delay_s = 0.01
        slow = asyncio.create_task(two.ask(3))
        await asyncio.sleep(0.001)
        await two.ask(3, cache=CacheUse.NO_CACHE)
        assert (await slow)[1].startswith("l1; hit")
        assert two.memory is not None
        entry = two.memory.peek(two.chain.keys(rows(x=[3]))[0])
        assert entry is not None
        assert entry[1] > LIFE_S / 2


@in_virtual_time
async def test_only_if_cached_looks_outside_though_a_run_is_under_way() -> None:
    """What somebody wants anew may be stored all the same."""
    store = FakeStore()
    async with Replica(store) as one, Replica(store, Model(0.05)) as two:
        await one.ask(3)
        await one.written()
        doubting = asyncio.create_task(two.ask(3, cache=CacheUse.NO_CACHE))
        await asyncio.sleep(0.001)
        assert (await two.ask(3, cache=CacheUse.ONLY_IF_CACHED))[0] == [6]
        await doubting


@in_virtual_time
async def test_nothing_is_said_to_be_stored_where_nothing_may_be() -> None:
    """A tier that is only read, and no memory."""
    async with Replica(FakeStore(), memory=False, read_only=True) as replica:
        assert await replica.ask(3) == ([6], "mlserve; fwd=miss")
        assert await replica.ask(3, cache=CacheUse.NO_CACHE) == ([6], "mlserve; fwd=request")
        assert not replica.store.writes


@in_virtual_time
async def test_lookups_add_up_to_the_rows_that_were_asked_for() -> None:
    """Rates on a dashboard would be of another whole; also of rows whose answers do not fit together."""

    class Padding(Model):
        """Pads to the rows of the run, so that rows of two runs do not fit into one answer."""

        async def __call__(self, asked: Rows, context: Context) -> Rows:
            answer = await super().__call__(asked, context)
            return Rows({**answer.columns, "pad": np.zeros((asked.count, asked.count))}, asked.count)

    store = FakeStore()
    async with Replica(store, Padding()) as replica:
        await replica.ask(1)
        await replica.ask(2, 3, 2)
        assert (await replica.ask(1, 2, 3))[1] == "mlserve; fwd=bypass"
        await replica.ask(4, cache=CacheUse.NO_STORE)
        await replica.ask(1, cache=CacheUse.NO_CACHE)
        assert replica.looked_up("memory") == 1 + 3 + 3 + 1 + 1
        assert replica.looked_up("l1") == 1 + 3 + 1 + 1
    async with Replica(store) as other:
        assert (await other.ask(1, 2, 3))[1] == "mlserve; fwd=bypass"
        assert other.looked_up("memory") == other.looked_up("l1") == 3


@in_virtual_time
async def test_a_large_request_is_stored_bit_by_bit_and_whole() -> None:
    """Equal rows in it are computed once; all the others are found by the next one, in both tiers."""
    store = FakeStore()
    xs = [float(x % (2 * PORTION)) for x in range(3 * PORTION)]
    async with Replica(store) as one, Replica(store) as two:
        assert (await one.ask(*xs))[0] == [2 * x for x in xs]
        assert [len(run) for run in one.model.runs] == [2 * PORTION]
        await one.written()
        assert await one.ask(*xs) == ([2 * x for x in xs], f'mlserve; detail="memory={3 * PORTION}"')
        assert (await two.ask(*xs))[1] == f'mlserve; detail="memory=0 l1={3 * PORTION}"'
