"""The memory tier: the least recently used go first, nothing outlives its time, and the bound is never passed."""

from __future__ import annotations

from collections import OrderedDict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from mlserve.contracts.memory import Memory
from mlserve.stores.memory import ENTRY_BYTES, MAX_SHARDS, SHARD_BYTES, MemoryStore

LIFE = 60.0


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def room_for(entries: int, key: int = 1, value: int = 1) -> int:
    """The size of a store of one shard that holds so many."""
    return entries * (key + value + 8 + ENTRY_BYTES)


def test_it_is_a_memory() -> None:
    """The chain knows the contract alone."""
    memory: Memory = MemoryStore(SHARD_BYTES)
    memory.put(b"k", b"v", LIFE)
    assert memory.get(b"k") == b"v"
    assert memory.get(b"other") is None


def test_the_least_recently_used_go_first() -> None:
    """A use is a get or a put; a peek is none."""
    store = MemoryStore(room_for(4))
    for key in b"abcd":
        store.put(bytes([key]), b"1", LIFE)
    store.get(b"a")
    store.put(b"b", b"2", LIFE)
    store.peek(b"c")
    store.put(b"e", b"1", LIFE)
    assert store.peek(b"c") is None
    assert store.get(b"a") == b"1"
    assert store.get(b"b") == b"2"
    assert store.get(b"e") == b"1"
    assert store.evictions >= 1


def test_a_life_ends_on_time() -> None:
    """An entry is answered until its time is up and not a moment longer; its bytes are given back."""
    clock = Clock()
    store = MemoryStore(SHARD_BYTES, clock=clock)
    store.put(b"k", b"v", 5.0)
    clock.now += 4.9
    assert store.get(b"k") == b"v"
    value, life = store.peek(b"k") or (b"", 0.0)
    assert (value, life) == (b"v", pytest.approx(0.1))
    clock.now += 0.1
    assert store.peek(b"k") == (b"v", pytest.approx(0.0))
    assert store.expired == 0
    assert store.get(b"k") is None
    assert (store.expired, store.evictions, store.used_bytes, len(store)) == (1, 0, 0, 0)


def test_a_use_tells_what_is_left_and_keeps_the_entry() -> None:
    """A recorded answer tells its life, and the row that it answers is the last to go."""
    clock = Clock()
    store = MemoryStore(SHARD_BYTES, clock=clock)
    store.put(b"k", b"v", 5.0)
    store.put(b"l", b"w", 5.0)
    clock.now += 4.0
    assert store.use(b"k") == (b"v", pytest.approx(1.0))
    assert next(store.newest(b"", 1)) == b"k"
    assert store.use(b"m") is None
    clock.now += 1.0
    assert store.use(b"k") is None
    assert store.expired == 1


def test_a_use_does_not_lengthen_a_life() -> None:
    """Else a busy key would be answered for ever."""
    clock = Clock()
    store = MemoryStore(SHARD_BYTES, clock=clock)
    store.put(b"k", b"v", 5.0)
    for _ in range(5):
        clock.now += 1
        answered = store.get(b"k")
    assert answered is None


def test_an_entry_lasts_while_it_stands_there() -> None:
    """Who remembers an entry must learn that it is too old, gone, or replaced, if only by an equal one."""
    clock = Clock()
    store = MemoryStore(SHARD_BYTES, clock=clock)
    assert store.entry(b"k") is None
    store.put(b"k", b"v", 5.0)
    entry = store.entry(b"k")
    assert entry is not None
    clock.now += 4.0
    assert store.lasts(b"k", entry) == pytest.approx(1.0)
    assert store.lasts(b"k", bytes(bytearray(entry))) == 0.0
    assert store.lasts(b"other", entry) == 0.0
    clock.now += 1.0
    assert store.lasts(b"k", entry) <= 0.0
    store.put(b"k", b"v", 5.0)
    assert store.lasts(b"k", entry) == 0.0
    store.clear()
    assert store.lasts(b"k", entry) == 0.0


def test_an_entry_that_lasts_counts_as_used() -> None:
    """Else rows that are answered without being asked for by key would be the first to go."""
    store = MemoryStore(room_for(4))
    for key in b"abcd":
        store.put(bytes([key]), b"1", LIFE)
    entry = store.entry(b"a")
    assert entry is not None
    assert store.lasts(b"a", entry) > 0
    store.put(b"e", b"1", LIFE)
    assert store.peek(b"a") is not None
    assert store.peek(b"b") is None


def test_a_life_that_is_over_before_it_begins() -> None:
    """A promoted entry may have nothing left."""
    store = MemoryStore(SHARD_BYTES, clock=Clock())
    store.put(b"k", b"v", -2000.0)
    assert store.get(b"k") is None


def test_replacing_counts_once() -> None:
    """The bytes of what was there are given back."""
    store = MemoryStore(SHARD_BYTES)
    store.put(b"k", b"v" * 1000, LIFE)
    store.put(b"k", b"v", LIFE)
    assert store.used_bytes == room_for(1)
    assert len(store) == 1


def test_what_is_larger_than_a_shard_is_not_stored() -> None:
    """It would push out all the rest; and the old value under its key is no longer the answer."""
    store = MemoryStore(room_for(10))
    store.put(b"a", b"1", LIFE)
    store.put(b"k", b"old", LIFE)
    store.put(b"k", b"v" * 5000, LIFE)
    assert store.get(b"k") is None
    assert store.get(b"a") == b"1"
    assert store.evictions == 0


def test_one_large_entry_takes_the_room_of_many_small_ones() -> None:
    """The bound holds however many must go."""
    store = MemoryStore(room_for(100))
    for key in range(100):
        store.put(bytes([key]), b"1", LIFE)
    large = room_for(99) - ENTRY_BYTES - 9
    store.put(b"L", b"v" * large, LIFE)
    assert store.get(b"L") == b"v" * large
    assert store.used_bytes <= room_for(100)


def test_clear_drops_all() -> None:
    """What is gone is neither answered nor counted."""
    store = MemoryStore(64 * SHARD_BYTES)
    for number in range(1000):
        store.put(str(number).encode(), b"v", LIFE)
    store.clear()
    assert (len(store), store.used_bytes, store.get(b"7")) == (0, 0, None)


def test_newest_answers_the_recently_used_of_one_prefix() -> None:
    """A reload warms with them: those of another model, or long unused, are of no use to it."""
    store = MemoryStore(SHARD_BYTES)
    for number in range(50):
        store.put(b"a%d" % number, b"v", LIFE)
        store.put(b"b%d" % number, b"v", LIFE)
    store.get(b"a3")
    assert list(store.newest(b"a", 3)) == [b"a3", b"a49", b"a48"]
    assert len(list(store.newest(b"a", 1000))) == 50
    assert list(store.newest(b"c", 3)) == []
    assert list(store.newest(b"a", 0)) == []


def test_newest_answers_no_more_than_asked_from_many_shards() -> None:
    """And the store may change while its answer is read."""
    store = MemoryStore(64 * SHARD_BYTES)
    for number in range(2000):
        store.put(b"%d" % number, b"v", LIFE)
    found = []
    for key in store.newest(b"", 100):
        found.append(key)
        store.get(key)
        store.put(key + b"x", b"v", LIFE)
    assert len(found) == len(set(found)) == 100


@pytest.mark.parametrize("megabytes", [1, 4, 64, 1024, 100_000])
def test_small_stores_hold_entries_of_some_size_and_large_ones_stay_in_small_parts(megabytes: int) -> None:
    """``SizeMB: 1`` must hold an embedding; a store of gigabytes must not stop the loop to grow one dict."""
    size = megabytes * 1024 * 1024
    store = MemoryStore(size)
    assert min(size, SHARD_BYTES) <= store.shard_bytes <= max(2 * SHARD_BYTES, size // MAX_SHARDS)
    assert store.shard_bytes * MAX_SHARDS >= size or store.shard_bytes < 2 * SHARD_BYTES


def test_keys_spread_over_shards() -> None:
    """One full shard would evict while the others are empty."""
    store = MemoryStore(16 * SHARD_BYTES)
    number = 0
    while not store.evictions:
        store.put(number.to_bytes(8, "little"), b"v" * 1000, LIFE)
        number += 1
    assert store.used_bytes > 0.9 * 16 * SHARD_BYTES


class Sequences(RuleBasedStateMachine):
    """Any sequence of calls against a plain model of what may be answered, and the bound after each."""

    size = 3000

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.store = MemoryStore(self.size, clock=self.clock)
        self.known: OrderedDict[bytes, tuple[bytes, float]] = OrderedDict()

    keys = st.sampled_from([bytes([letter]) * (1 + letter % 7) for letter in range(97, 120)])

    @rule(key=keys, length=st.integers(0, 200) | st.integers(0, 3500), life=st.integers(-1, 20))
    def put(self, key: bytes, length: int, life: int) -> None:
        value = bytes([len(self.known) % 256]) * length
        self.store.put(key, value, life)
        self.known[key] = (value, self.clock.now + life)

    @rule(key=keys)
    def get(self, key: bytes) -> None:
        answered = self.store.get(key)
        value, end = self.known.get(key, (None, 0.0))
        if answered is not None:
            assert answered == value
            assert self.clock.now < end

    @rule(key=keys)
    def peek(self, key: bytes) -> None:
        before = [list(shard) for shard in self.store._entries]
        found = self.store.peek(key)
        if found is not None:
            value, end = self.known[key]
            assert found == (value, pytest.approx(end - self.clock.now))
        assert before == [list(shard) for shard in self.store._entries]

    @rule(seconds=st.integers(0, 10))
    def wait(self, seconds: int) -> None:
        self.clock.now += seconds

    @rule()
    def clear(self) -> None:
        self.store.clear()
        self.known.clear()

    @invariant()
    def bounded(self) -> None:
        assert 0 <= self.store.used_bytes <= self.size

    @invariant()
    def counted(self) -> None:
        entries = [(key, entry) for shard in self.store._entries for key, entry in shard.items()]
        assert self.store.used_bytes == sum(len(key) + len(entry) + ENTRY_BYTES for key, entry in entries)
        assert len(self.store) == len(entries)


TestSequences = Sequences.TestCase
TestSequences.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


@given(st.lists(st.integers(0, 30), max_size=80))
def test_what_was_just_put_is_there(keys: list[int]) -> None:
    """However full the store: the newest entry is never the one to go."""
    store = MemoryStore(room_for(5, 3, 20))
    for key in keys:
        store.put(bytes([key]) * 3, b"v" * 20, LIFE)
        assert store.get(bytes([key]) * 3) is not None
