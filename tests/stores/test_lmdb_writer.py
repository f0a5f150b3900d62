"""Writes of many callers in one commit: each hears of its own, none waits for another, and the line is bounded."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from mlserve.contracts.store import StoreFault, StoreRefused
from mlserve.stores import lmdb_writer
from mlserve.stores.lmdb import LmdbStore
from mlserve.stores.lmdb_segment import Segment
from tests.support.lmdb_folders import LIFE_S, Clock, get, held_up, opened, put, turned


def newer(store: LmdbStore) -> Segment:
    assert store._writer is not None
    return store._writer.segments._all[0]


def commits(store: LmdbStore) -> int:
    return int(newer(store)._env.info()["last_txnid"])


async def begun(store: LmdbStore, *names: bytes) -> list[asyncio.Task[None]]:
    """Puts of each name, all in line or under way."""
    tasks = [asyncio.create_task(put(store, name, b"1")) for name in names]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return tasks


async def test_what_gathers_is_committed_at_once(tmp_path: Path) -> None:
    """A commit for each put would be most of the work."""
    async with opened(tmp_path) as store:
        before = commits(store)
        async with held_up(store):
            first = await begun(store, b"first")
            rest = await begun(store, *(b"%d" % number for number in range(100)))
        await asyncio.gather(*first, *rest)
        assert commits(store) == before + 2


async def test_a_large_put_is_written_in_pieces(tmp_path: Path) -> None:
    """So that others get their turn, and no transaction is larger than a half has room for."""
    async with opened(tmp_path) as store:
        before = commits(store)
        await store.put_many([(b"%d" % number, b"z" * 10_000, LIFE_S) for number in range(150)])
        assert commits(store) > before + 2
        assert None not in await store.get_many([b"%d" % number for number in range(150)])


async def test_a_put_that_nobody_waits_for_any_more(tmp_path: Path) -> None:
    """Is not written if it is still in line; those beside it are."""
    async with opened(tmp_path) as store:
        async with held_up(store):
            under_way = await begun(store, b"under way")
            gone, stays = await begun(store, b"gone", b"stays")
            under_way[0].cancel()
            gone.cancel()
            await asyncio.wait([*under_way, gone])
        await stays
        assert await store.get_many([b"gone", b"stays"]) == [None, b"1"]


async def test_all_callers_have_left(tmp_path: Path) -> None:
    """The line is empty then, and the next put is like any first one."""
    async with opened(tmp_path) as store:
        async with held_up(store):
            tasks = [*await begun(store, b"a"), *await begun(store, b"b", b"c")]
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        await put(store, b"d", b"1")
        assert await store.get_many([b"b", b"c", b"d"]) == [None, None, b"1"]


async def test_the_line_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk slower than the callers costs them entries, not the process its memory; what is in line is written."""
    monkeypatch.setattr(lmdb_writer, "MAX_WAITING_BYTES", 1000)
    async with opened(tmp_path) as store:
        async with held_up(store):
            tasks = [*await begun(store, b"under way"), *await begun(store, *(b"%d" % number for number in range(10)))]
            with pytest.raises(StoreRefused, match=r"wait to be written already: the disk is too slow"):
                await put(store, b"too much", b"z" * 500)
        await asyncio.gather(*tasks)
        async with held_up(store):
            tasks = [
                *await begun(store, b"under way"),
                *await begun(store, *(b"%d" % number for number in range(10, 20))),
            ]
        await asyncio.gather(*tasks)
        assert await store.get_many([b"9", b"too much", b"19"]) == [b"1", None, b"1"]


async def test_copies_in_line_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names on top of the bound are forgotten until they are asked for again; all values are answered."""
    monkeypatch.setattr(lmdb_writer, "MAX_COPIES_WAITING", 5)
    names = [b"%d" % number for number in range(10)]
    async with opened(tmp_path) as store:
        await store.put_many([(name, b"1", LIFE_S) for name in names])
        await turned(store, tmp_path)
        assert await store.get_many(names) == [b"1"] * 10
        await put(store, b"after the copies", b"1")
        with newer(store)._env.begin() as txn:
            assert [txn.get(name) is not None for name in names] == [True] * 5 + [False] * 5


async def test_what_has_ended_is_not_copied(tmp_path: Path) -> None:
    """Between the read and the copy its time may be up."""
    clock = Clock()
    async with opened(tmp_path, clock) as store:
        await store.put_many([(b"short", b"1", 10.0), (b"long", b"1", 100.0)])
        await turned(store, tmp_path)
        async with held_up(store):
            assert await store.get_many([b"short", b"long"]) == [b"1", b"1"]
            clock.now += 20
        await put(store, b"after the copies", b"1")
        with newer(store)._env.begin() as txn:
            assert [txn.get(name) is not None for name in (b"short", b"long")] == [False, True]


async def test_a_failure_is_told_to_its_callers_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever fails in the thread, those who wait hear of it, and the next batch is a batch like any."""

    def broken(*_: object) -> None:
        raise ZeroDivisionError("a mistake of ours")

    async with opened(tmp_path) as store:
        with monkeypatch.context() as patch:
            patch.setattr(Segment, "write", broken)
            with pytest.raises(StoreFault, match="unexpected failure of a write: a mistake of ours"):
                await put(store, b"a", b"1")
        await put(store, b"b", b"2")
        assert await get(store, b"b") == b"2"
