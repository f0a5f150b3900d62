"""Answers would be asked for twice, promoted past their life, or lost in a tier's trouble, if these failed."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Self

import numpy as np
import pytest

from mlserve.cache.native import NativeLayout
from mlserve.cache.outer import OuterTiers
from mlserve.cache.payload import encode
from mlserve.cache.portions import PORTION
from mlserve.cache.tier import Tier
from mlserve.cache.used_tier import TierUse
from mlserve.types import Rows
from tests.support import virtual_time
from tests.support.deployments import rows
from tests.support.fake_store import FakeStore, connected

GENERATION = bytes(range(16))
NOW = 1_800_000_000.0


class Outside:
    """Two tiers over fake stores. Open it, close it."""

    def __init__(
        self,
        *,
        read_only: tuple[str, ...] = (),
        at_once: bool = False,
        layouts: Mapping[str, NativeLayout] | None = None,
    ) -> None:
        self.stores = {"l1": FakeStore(at_once=at_once), "l2": FakeStore(at_once=at_once)}
        self.lookups: Counter[tuple[str, str]] = Counter()
        self.seconds: Counter[tuple[str, str]] = Counter()
        self.now = NOW
        self._read_only = read_only
        self._layouts = layouts or {}

    async def __aenter__(self) -> Self:
        self.connections = {label: connected(store) for label, store in self.stores.items()}
        for connection in self.connections.values():
            await connection.up.wait()
        self.tiers = {
            label: Tier(connection, lambda store: store.entries(None, None), label=label)
            for label, connection in self.connections.items()
        }
        layout = NativeLayout()
        self.outer = OuterTiers(
            [
                TierUse(label, self.tiers[label], self._layouts.get(label, layout), ttl_s, label in self._read_only)
                for label, ttl_s in (("l1", 100.0), ("l2", 1000.0))
            ],
            observe=self._observe,
            observe_seconds=self._observe_seconds,
            clock=lambda: self.now,
            since=virtual_time.clock,
        )
        return self

    async def __aexit__(self, *error: object) -> None:
        for tier in self.tiers.values():
            await tier.close()
        for connection in self.connections.values():
            await connection.close()

    def _observe(self, tier: str, result: str, count: int) -> None:
        assert count > 0
        self.lookups[tier, result] += count

    def _observe_seconds(self, tier: str, op: str, seconds: float) -> None:
        assert seconds >= 0
        self.seconds[tier, op] += 1

    async def look_up(self, *keys: str) -> list[tuple[str, float, float] | None]:
        """For each key: the tier that had it, its answer, and what is left of its life."""
        found: list[tuple[str, float, float] | None] = [None] * len(keys)
        names = [key_of(key) for key in keys]
        async for held in self.outer.look_up(names, some_rows(len(keys)), range(len(keys)), far()):
            assert encode(held.rows) == list(held.payloads)
            answers = held.rows.columns["y"].tolist()
            for place, answer, life_s in zip(held.places, answers, held.lives_s, strict=True):
                found[place] = (held.label, answer, round(life_s, 3))
        return found

    def store(self, *keys: str, share: float = 1.0) -> None:
        payloads = encode(Rows({"y": np.array([answer_to(key) for key in keys])}, len(keys)))
        self.outer.store([key_of(key) for key in keys], some_rows(len(keys)), payloads, [share] * len(keys))

    async def written(self) -> None:
        for tier in self.tiers.values():
            await tier.writes.flush(5.0)

    def forget(self, label: str) -> None:
        self.stores[label].held.clear()


def key_of(text: str) -> bytes:
    return GENERATION + text.encode()


def answer_to(key: str) -> float:
    return float(int.from_bytes(key.encode(), "big"))


def some_rows(count: int) -> Rows:
    return rows(x=[0.0] * count)


def far() -> float:
    """A deadline that does not matter."""
    return virtual_time.clock() + 3600


@pytest.mark.parametrize("at_once", [False, True])
def test_written_through_and_found_in_the_first_tier(at_once: bool) -> None:
    """Each tier with its own life, shortened by the same share."""

    async def main() -> None:
        async with Outside(at_once=at_once) as outside:
            outside.store("a", "b", share=0.9)
            await outside.written()
            assert list(outside.stores["l1"].lives.values()) == pytest.approx([90, 90], abs=0.5)
            assert list(outside.stores["l2"].lives.values()) == pytest.approx([900, 900], abs=0.5)
            assert await outside.look_up("b", "c", "a") == [
                ("l1", answer_to("b"), 90),
                None,
                ("l1", answer_to("a"), 90),
            ]
            assert outside.lookups == Counter({("l1", "hit"): 2, ("l1", "miss"): 1, ("l2", "miss"): 1})
            assert outside.seconds[("l1", "put")] == 1

    virtual_time.run(main())


def test_one_trip_per_tier_for_a_batch() -> None:
    """And the second tier is asked for what the first had not."""

    async def main() -> None:
        async with Outside() as outside:
            keys = [str(number) for number in range(1000)]
            outside.store(*keys)
            await outside.written()
            for name in list(outside.stores["l1"].held)[::2]:
                del outside.stores["l1"].held[name]
            found = await outside.look_up(*keys)
            assert all(found)
            assert Counter(hit[0] for hit in found if hit) == Counter(l1=500, l2=500)
            assert [len(trip) for trip in outside.stores["l1"].reads] == [1000]
            assert [len(trip) for trip in outside.stores["l2"].reads] == [500]

    virtual_time.run(main())


def test_a_hit_below_is_copied_up_for_what_is_left_of_its_life() -> None:
    """At most the life that the upper tier gives; the next request finds it there."""

    async def main() -> None:
        async with Outside() as outside:
            outside.store("young", "old")
            await outside.written()
            outside.forget("l1")
            outside.now += 950
            assert await outside.look_up("old") == [("l2", answer_to("old"), 50)]
            await outside.written()
            assert list(outside.stores["l1"].lives.values())[1] == pytest.approx(50, abs=0.5)
            outside.now -= 900
            assert await outside.look_up("young") == [("l2", answer_to("young"), 950)]
            await outside.written()
            assert next(iter(outside.stores["l1"].lives.values())) == pytest.approx(100, abs=0.5)
            outside.forget("l2")
            assert await outside.look_up("young") == [("l1", answer_to("young"), 100)]

    virtual_time.run(main())


def test_read_only_is_never_written_to() -> None:
    """Neither through nor by promotion."""

    async def main() -> None:
        async with Outside(read_only=("l1",)) as outside:
            outside.store("a")
            await outside.written()
            assert not outside.stores["l1"].writes
            assert await outside.look_up("a") == [("l2", answer_to("a"), 1000)]
            await outside.written()
            assert not outside.stores["l1"].writes

    virtual_time.run(main())


@pytest.mark.parametrize(
    ("spoil", "result"),
    [
        (lambda value: b"", "error"),
        (lambda value: value[:-1], "error"),
        (lambda value: bytes([value[0] + 1]) + value[1:], "error"),
        (lambda value: b"\xff" * 5000, "error"),
    ],
)
def test_what_is_poisoned_is_a_miss_and_is_counted(spoil: object, result: str) -> None:
    """Neighbours in the same batch are answered all the same."""

    async def main() -> None:
        async with Outside() as outside:
            outside.store("good", "bad")
            await outside.written()
            held = outside.stores["l1"].held
            name = next(name for name in held if name.endswith(b":bad"))
            held[name] = spoil(held[name])  # type: ignore[operator]
            outside.forget("l2")
            assert await outside.look_up("bad", "good") == [None, ("l1", answer_to("good"), 100)]
            assert outside.lookups["l1", result] == 1

    virtual_time.run(main())


def test_one_rows_entry_under_another_rows_name() -> None:
    """Moved by hand, or a collision of digests: never the answer to another row."""

    async def main() -> None:
        async with Outside() as outside:
            outside.store("a", "b")
            await outside.written()
            held = outside.stores["l1"].held
            first, second = list(held)
            held[first], held[second] = held[second], held[first]
            outside.forget("l2")
            assert await outside.look_up("a", "b") == [None, None]
            assert outside.lookups["l1", "error"] == 2

    virtual_time.run(main())


def test_expired_entries_are_counted_as_such() -> None:
    """A store may be late in dropping them."""

    async def main() -> None:
        async with Outside() as outside:
            outside.store("a")
            await outside.written()
            outside.now += 100
            assert await outside.look_up("a") == [("l2", answer_to("a"), 900)]
            assert outside.lookups["l1", "expired"] == 1

    virtual_time.run(main())


def test_a_tier_in_trouble_is_a_miss_and_then_is_left_alone() -> None:
    """Each lookup costs the timeout until the breaker opens, and nothing after it."""

    async def main() -> None:
        async with Outside() as outside:
            keys = "abcdef"
            outside.store(*keys)
            await outside.written()
            outside.forget("l1")
            outside.stores["l1"].delay_s = 3600
            loop = asyncio.get_running_loop()
            took = []
            for key in keys:
                start = loop.time()
                assert await outside.look_up(key) == [("l2", answer_to(key), 1000)]
                took.append(round(loop.time() - start, 3))
            assert took == [0.025, 0.025, 0.025, 0.0, 0.0, 0.0]
            assert outside.lookups["l1", "error"] == 3
            assert outside.lookups["l1", "skipped"] == 3

    virtual_time.run(main())


def test_explain_tells_what_each_tier_holds_and_counts_nothing() -> None:
    """Hit with its age, miss, down with the reason."""

    async def main() -> None:
        async with Outside() as outside:
            outside.store("a")
            await outside.written()
            outside.forget("l2")
            outside.now += 10
            shown = await outside.outer.peek(key_of("a"), some_rows(1), far())
            assert shown["l1"]["state"] == "hit"
            assert shown["l1"]["age_s"] == 10
            assert shown["l1"]["ttl_s"] == 90
            assert shown["l2"] == {"state": "miss"}
            await outside.connections["l2"].close()
            shown = await outside.outer.peek(key_of("a"), some_rows(1), far())
            assert shown["l2"] == {"state": "down", "reason": "closed"}
            assert not outside.lookups

    virtual_time.run(main())


def test_found_rows_belong_where_they_were_asked_for() -> None:
    """Of a request whose other rows memory had: answers would go to other rows of it."""

    async def main() -> None:
        async with Outside() as outside:
            outside.store("a", "b", "c", "d")
            await outside.written()
            outside.stores["l1"].held = {
                name: value for name, value in outside.stores["l1"].held.items() if not name.endswith(b":b")
            }
            keys = [key_of(key) for key in "xayb"]
            found = outside.outer.look_up(keys, some_rows(4), [1, 3], far())
            assert [(held.label, held.places, held.rows.columns["y"].tolist()) async for held in found] == [
                ("l1", [1], [answer_to("a")]),
                ("l2", [3], [answer_to("b")]),
            ]
            keys = [key_of(key) for key in "xcyd"]
            found = outside.outer.look_up(keys, some_rows(4), [1, 3], far())
            assert [(held.label, list(held.places)) async for held in found] == [("l1", [1, 3])]

    virtual_time.run(main())


def test_a_large_request_lets_others_have_their_turn() -> None:
    """Ten thousand rows in one step of the loop would hold up everybody; each tier is asked in portions."""

    async def main() -> None:
        async with Outside(at_once=True) as outside:
            keys = [str(number) for number in range(3 * PORTION)]
            outside.store(*keys[: 2 * PORTION])
            turns = 0

            async def others() -> None:
                nonlocal turns
                while True:
                    turns += 1
                    await asyncio.sleep(0)

            other = asyncio.create_task(others())
            await asyncio.sleep(0)
            before = turns
            found = await outside.look_up(*keys)
            assert turns - before == 2
            other.cancel()
            await asyncio.wait([other])
            assert [hit[1] if hit else None for hit in found] == [
                *map(answer_to, keys[: 2 * PORTION]),
                *[None] * PORTION,
            ]
            assert outside.lookups == Counter(
                {("l1", "hit"): 2 * PORTION, ("l1", "miss"): PORTION, ("l2", "miss"): PORTION}
            )

    virtual_time.run(main())


def test_a_large_request_waits_for_a_tier_in_trouble_once() -> None:
    """Not once for each portion; what was not asked for counts as skipped."""

    async def main() -> None:
        async with Outside() as outside:
            outside.stores["l1"].delay_s = 3600
            start = virtual_time.clock()
            await outside.look_up(*map(str, range(3 * PORTION)))
            assert virtual_time.clock() - start == pytest.approx(0.025, abs=0.001)
            assert outside.lookups == Counter(
                {("l1", "error"): PORTION, ("l1", "skipped"): 2 * PORTION, ("l2", "miss"): 3 * PORTION}
            )

    virtual_time.run(main())


def test_an_entry_that_is_sound_and_does_not_decode() -> None:
    """Sealed by somebody else's mlserve: a miss here, counted once, never promoted; the next tier may know better."""

    async def main() -> None:
        async with Outside() as outside:
            outside.store("a", "b")
            await outside.written()
            name = next(name for name in outside.stores["l1"].held if name.endswith(b":a"))
            sealed = NativeLayout().write(key_of("a"), b"\xffno payload", outside.now, 100.0)
            assert sealed is not None
            outside.stores["l1"].held[name] = sealed
            assert (await outside.outer.peek(key_of("a"), some_rows(1), far()))["l1"] == {"state": "error"}
            assert await outside.look_up("a", "b") == [("l2", answer_to("a"), 1000), ("l1", answer_to("b"), 100)]
            assert outside.lookups == Counter({("l1", "error"): 1, ("l1", "hit"): 1, ("l2", "hit"): 1})
            await outside.written()
            assert await outside.look_up("a") == [("l1", answer_to("a"), 100)]

    virtual_time.run(main())


class HalfNamed(NativeLayout):
    """A layout that has no place for keys that begin with ``-``."""

    def names(self, keys: Sequence[bytes], rows: Rows) -> list[bytes | None]:
        return [
            None if key[16:].startswith(b"-") else name
            for key, name in zip(keys, super().names(keys, rows), strict=True)
        ]


def test_rows_without_a_place_in_a_layout_are_skipped_there() -> None:
    """Neither asked for, written, nor lost to the other tiers."""

    async def main() -> None:
        async with Outside(layouts={"l1": HalfNamed()}) as outside:
            outside.store("-a", "b", "-c")
            await outside.written()
            assert [name[-1:] for name in outside.stores["l1"].held] == [b"b"]
            assert await outside.look_up("-a", "b", "-d") == [
                ("l2", answer_to("-a"), 1000),
                ("l1", answer_to("b"), 100),
                None,
            ]
            assert await outside.look_up("-c") == [("l2", answer_to("-c"), 1000)]
            assert outside.lookups == Counter(
                {("l1", "skipped"): 3, ("l1", "hit"): 1, ("l2", "hit"): 2, ("l2", "miss"): 1}
            )

    virtual_time.run(main())
