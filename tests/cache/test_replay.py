"""An answer would outlive what it repeats, or go to another question, if these failed."""

from __future__ import annotations

import pytest

from mlserve.cache.replay import Recording, Replay
from mlserve.stores.memory import ENTRY_BYTES, MemoryStore

PREFIX = b"0123456789abcdef"
KEY = PREFIX + b"1.5/a"
REQUEST = b"eval\x01x=1.5&s=a"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Recorded:
    """A replay over a memory that holds the entry of one row, and the recording of one answer from it."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.memory = MemoryStore(1 << 20, clock=self.clock)
        self.replay = Replay(self.memory, PREFIX)
        self.memory.put(KEY, b"the row", 60)
        self.replay.record(REQUEST, KEY, b'{"serviceTimeMcs":', b',"data":1}')

    def recall(self, request: bytes = REQUEST) -> Recording | None:
        return self.replay.recall(request)


@pytest.fixture
def recorded() -> Recorded:
    return Recorded()


def test_an_answer_comes_back_in_two_parts(recorded: Recorded) -> None:
    """Around the service time, which is another one each time; with the life of the row."""
    recorded.clock.now += 13
    assert recorded.recall() == Recording(b'{"serviceTimeMcs":', b',"data":1}', KEY, 47.0)


@pytest.mark.parametrize("other", [b"eval\x00x=1.5&s=a", b"eval\x01x=1.5&s=A", b"v2\x01x=1.5&s=a", b"", REQUEST + b" "])
def test_only_the_very_same_bytes_find_it(recorded: Recorded, other: bytes) -> None:
    """Another verb, protocol, spelling: decoded as usual."""
    assert recorded.recall(other) is None


def test_it_dies_with_the_life_of_the_row(recorded: Recorded) -> None:
    """Not a millisecond later, also when the row was old as it was recorded."""
    recorded.clock.now += 59.9
    recorded.replay.record(b"later", KEY, b"h", b"t")
    assert recorded.recall(b"later") is not None
    recorded.clock.now += 0.1
    assert recorded.recall(b"later") is None
    assert recorded.recall() is None


def test_it_dies_when_the_row_is_dropped_for_space(recorded: Recorded) -> None:
    """What the tier says it does not hold, it must not answer."""
    recorded.memory.put(KEY, b"x" * (2 << 20), 60)  # too large: neither it nor what it replaces is kept
    assert recorded.memory.peek(KEY) is None
    assert recorded.recall() is None


def test_it_dies_when_the_row_has_another_answer(recorded: Recorded) -> None:
    """``no-cache`` replaced it: who asks next must get what that caller got."""
    recorded.memory.put(KEY, b"the new row", 60)
    assert recorded.recall() is None


def test_it_lives_on_when_the_row_is_stored_anew_unchanged(recorded: Recorded) -> None:
    """The same answer is the same answer; its life is then the new one, but the recording's own ends as it would."""
    recorded.clock.now += 30
    recorded.memory.put(KEY, b"the row", 60)
    found = recorded.recall()
    assert found is not None
    assert found.ttl_s == pytest.approx(60, abs=0.01)
    recorded.clock.now += 30
    assert recorded.recall() is None


def test_another_generation_never_answers(recorded: Recorded) -> None:
    """The same request of the next version is a question that nobody has answered yet."""
    assert Replay(recorded.memory, b"fedcba9876543210").recall(REQUEST) is None


def test_a_row_that_is_gone_is_not_recorded(recorded: Recorded) -> None:
    before = recorded.memory.used_bytes
    recorded.replay.record(b"r", PREFIX + b"unknown", b"h", b"t")
    assert recorded.memory.used_bytes == before


def test_recordings_are_charged_to_the_tier(recorded: Recorded) -> None:
    """``SizeMB`` bounds them as it bounds everything else."""
    before = recorded.memory.used_bytes
    head, tail, request = b"h" * 1000, b"t" * 500, b"r" * 100
    recorded.replay.record(request, KEY, head, tail)
    parts = len(PREFIX) + len(request) + len(KEY) + len(head) + len(tail)
    assert 0 <= recorded.memory.used_bytes - before - parts - ENTRY_BYTES <= 32


def test_recordings_are_no_rows(recorded: Recorded) -> None:
    """Warming a new version must not take them for keys."""
    assert list(recorded.memory.newest(PREFIX, 10)) == [KEY]


def test_recalling_counts_as_a_use_of_the_row() -> None:
    """Else the row that is asked most would be the first to go, and its recording with it."""
    memory = MemoryStore(1 << 20)
    replay = Replay(memory, PREFIX)
    for number in range(2):
        memory.put(PREFIX + b"%d" % number, b"row", 60)
    replay.record(REQUEST, PREFIX + b"0", b"h", b"t")
    assert replay.recall(REQUEST) is not None
    assert next(memory.newest(PREFIX, 1)) == PREFIX + b"0"


@pytest.mark.parametrize("head", [b"", b"\x00" * 300, b"\xff" * 70_000])
def test_any_bytes_come_back_as_they_were(recorded: Recorded, head: bytes) -> None:
    recorded.replay.record(b"r", KEY, head, head[::-1])
    found = recorded.recall(b"r")
    assert found is not None
    assert (found.head, found.tail) == (head, head[::-1])
