"""The contract of external tiers, held against every store there is. How each is made stands in ``conftest.py``."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlserve import registry
from mlserve.contracts.store import MAX_NAME_BYTES, MAX_VALUE_BYTES, Store, StoreFault, StoreRefused, Table
from tests.support.store_ground import Ground

LIFE_S = 60.0
PATIENCE_S = 10.0
"""Far more than anything here takes; a hang fails."""

EVERY_BYTE = bytes(range(256))
_example = count()


def entries(store: Store) -> Table[bytes, bytes]:
    return store.entries(None, None)


async def stored(store: Store, **values: bytes) -> None:
    await entries(store).put_many([(name.encode(), value, LIFE_S) for name, value in values.items()])


def test_every_store_is_held_to_it(grounds: frozenset[str]) -> None:
    """A new row of the registry would promise what nobody has tried."""
    assert grounds == set(registry.TABLES["stores"])


async def test_get_what_was_put(store: Store) -> None:
    """And None for what was not, in the order asked for."""
    await stored(store, a=b"1", b=b"2")
    assert list(await entries(store).get_many([b"b", b"absent", b"a"])) == [b"2", None, b"1"]


async def test_an_empty_store_has_nothing(store: Store) -> None:
    """The first reader meets no error."""
    assert list(await entries(store).get_many([b"a"])) == [None]
    await store.check()


async def test_nothing_asked_and_nothing_put(store: Store) -> None:
    """An empty list is no special case for the caller."""
    await entries(store).put_many([])
    assert list(await entries(store).get_many([])) == []


async def test_a_value_is_replaced(store: Store) -> None:
    """By the next put, and within one put by the later item."""
    await stored(store, a=b"old")
    await entries(store).put_many([(b"a", b"older", LIFE_S), (b"a", b"new", LIFE_S)])
    assert list(await entries(store).get_many([b"a"])) == [b"new"]


async def test_a_name_asked_for_twice(store: Store) -> None:
    """Is answered twice: rows of one request may be equal."""
    await stored(store, a=b"1")
    assert list(await entries(store).get_many([b"a", b"x", b"a", b"x"])) == [b"1", None, b"1", None]


@pytest.mark.parametrize(
    "name",
    [b"n", b"\0", b"\n", b"\xff" * MAX_NAME_BYTES, (EVERY_BYTE * 2)[:MAX_NAME_BYTES]],
    ids=["one byte", "nul", "line feed", "longest", "every byte"],
)
async def test_names_are_any_bytes(store: Store, name: bytes) -> None:
    """1 to 500 of them, told apart from their neighbours."""
    await entries(store).put_many([(name, b"v", LIFE_S)])
    assert list(await entries(store).get_many([name, b"other", name + b"."][:2])) == [b"v", None]


@pytest.mark.parametrize("value", [b"", b"\0", EVERY_BYTE, b"z" * 100_000], ids=["empty", "nul", "every byte", "large"])
async def test_values_are_any_bytes(store: Store, value: bytes) -> None:
    """An empty one is a value, not a miss."""
    await stored(store, a=value)
    assert list(await entries(store).get_many([b"a"])) == [value]


async def test_a_thousand_at_once(store: Store) -> None:
    """The largest requests are put and asked for whole."""
    items = [(b"%d" % number, b"value of %d" % number, LIFE_S) for number in range(1000)]
    await entries(store).put_many(items)
    values = await entries(store).get_many([name for name, _, _ in reversed(items)])
    assert list(values) == [value for _, value, _ in reversed(items)]


async def test_a_life_ends(store: Store) -> None:
    """Of the entry alone whose life it was."""
    await stored(store, long=b"1")
    await entries(store).put_many([(b"short", b"2", 0.05)])
    async with asyncio.timeout(PATIENCE_S):
        while list(await entries(store).get_many([b"short"])) != [None]:
            await asyncio.sleep(0.01)
    assert list(await entries(store).get_many([b"long"])) == [b"1"]


async def test_a_put_gives_a_new_life(store: Store) -> None:
    """The end of what was replaced is not the end of what is there."""
    await entries(store).put_many([(b"a", b"1", 0.05), (b"witness", b"1", 0.05)])
    await stored(store, a=b"2")
    async with asyncio.timeout(PATIENCE_S):
        while list(await entries(store).get_many([b"witness"])) != [None]:
            await asyncio.sleep(0.01)
    assert list(await entries(store).get_many([b"a"])) == [b"2"]


async def test_a_value_that_is_too_large(store: Store) -> None:
    """Is refused or forgotten, never answered, and harms nobody else."""
    await stored(store, a=b"1")
    with suppress(StoreRefused):
        await stored(store, large=b"z" * (MAX_VALUE_BYTES + 1))
    assert list(await entries(store).get_many([b"large", b"a"])) in ([None, b"1"], [None, None])
    await stored(store, a=b"2")
    assert list(await entries(store).get_many([b"a"])) == [b"2"]


async def test_many_at_once(store: Store) -> None:
    """Each caller gets its own."""

    async def one(number: int) -> Sequence[bytes | None]:
        name = b"caller %d" % number
        await entries(store).put_many([(name, b"%d" % number, LIFE_S)])
        return await entries(store).get_many([b"nobody", name])

    async with asyncio.timeout(PATIENCE_S):
        answers = await asyncio.gather(*(one(number) for number in range(100)))
    assert [list(answer) for answer in answers] == [[None, b"%d" % number] for number in range(100)]


@pytest.mark.parametrize("turns", range(4))
async def test_a_caller_that_leaves(store: Store, turns: int) -> None:
    """However far it has come, a cancelled call leaves a store that answers, with answers of the right calls."""
    await stored(store, a=b"1", b=b"2")
    table = entries(store)
    calls: list[Awaitable[object]] = [table.get_many([b"a"]), table.put_many([(b"c", b"3", LIFE_S)])]
    tasks = [asyncio.ensure_future(call) for call in calls]
    for _ in range(turns):
        await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks, timeout=PATIENCE_S)
    assert all(task.done() for task in tasks)
    await stored(store, d=b"4")
    assert list(await table.get_many([b"b", b"a", b"d"])) == [b"2", b"1", b"4"]


async def test_closed_while_busy(ground: Ground) -> None:
    """Whoever is under way ends, with an answer or a fault, and soon."""
    store = ground.store()
    await store.open()
    table = entries(store)
    writes = [asyncio.create_task(table.put_many([(b"%d" % n, b"v" * 1000, LIFE_S)])) for n in range(50)]
    reads = [asyncio.create_task(table.get_many([b"%d" % n])) for n in range(50)]
    await asyncio.sleep(0)
    async with asyncio.timeout(PATIENCE_S):
        await store.close()
        results = await asyncio.gather(*writes, *reads, return_exceptions=True)
    assert [error for error in results if isinstance(error, BaseException) and not isinstance(error, StoreFault)] == []


async def test_used_after_its_end(ground: Ground) -> None:
    """A caller that comes too late gets a fault like any other, not a crash; and the end may come twice."""
    store = ground.store()
    await store.open()
    await store.close()
    with pytest.raises(StoreFault):
        await entries(store).get_many([b"a"])
    with pytest.raises(StoreFault):
        await stored(store, a=b"1")
    with pytest.raises(StoreFault):
        await store.check()
    await store.close()


async def test_used_before_its_beginning(ground: Ground) -> None:
    """The chain asks only what is up; should it ever not, that is a fault."""
    store = ground.store()
    with pytest.raises(StoreFault):
        await store.check()
    await store.close()


async def test_opened_after_a_failure(ground: Ground) -> None:
    """A store that is away at start is tried again, and then works."""
    store = ground.store()
    async with ground.out_of_order():
        for _ in range(2):
            with pytest.raises(StoreFault):
                await store.open()
    await store.open()
    await stored(store, a=b"1")
    assert list(await entries(store).get_many([b"a"])) == [b"1"]
    await store.close()


@pytest.mark.parametrize("turns", range(4))
async def test_opened_after_a_caller_that_left(ground: Ground, turns: int) -> None:
    """A connection that took too long and was given up does not stand in the way of the next."""
    store = ground.store()
    opening = asyncio.create_task(store.open())
    for _ in range(turns):
        await asyncio.sleep(0)
    opening.cancel()
    await asyncio.wait([opening])
    async with asyncio.timeout(PATIENCE_S):
        await store.open()
        await stored(store, a=b"1")
        assert list(await entries(store).get_many([b"a"])) == [b"1"]
        await store.close()


_NAMES = st.binary(min_size=1, max_size=3)
_PUT = st.lists(st.tuples(_NAMES, st.binary(max_size=50)), max_size=5)
_GET = st.lists(_NAMES, max_size=5)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.tuples(_PUT, _GET), max_size=8))
async def test_it_is_a_dict(store: Store, steps: list[tuple[list[tuple[bytes, bytes]], list[bytes]]]) -> None:
    """Whatever is put and asked for, in whatever order."""
    prefix = b"%d:" % next(_example)
    model: dict[bytes, bytes] = {}
    for put, get in steps:
        await entries(store).put_many([(prefix + name, value, LIFE_S) for name, value in put])
        model.update(put)
        names = [*get, *model]
        assert list(await entries(store).get_many([prefix + name for name in names])) == [model.get(n) for n in names]
