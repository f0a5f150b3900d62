"""Without these, half-written models would be copied, or finished ones never."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlserve.errors import SourceError
from mlserve.sources.artifact import FileStat, Listing
from mlserve.sources.settle import changes, is_settled, settled


def listing(size: int, newest: float | None = None, *names: str) -> Listing:
    return Listing(tuple(FileStat(name, size, str(size)) for name in names or ("model.onnx",)), newest)


class Script:
    """A source that gives one listing after the other, the last for ever, and a clock that its sleeps drive."""

    url = "memory://model"

    def __init__(self, *listings: Listing | Exception, ready_file: str | None = None) -> None:
        self.ready_file = ready_file
        self._listings = list(listings)
        self.time = 1000.0
        self.slept = 0

    async def listing(self) -> Listing:
        now = self._listings.pop(0) if len(self._listings) > 1 else self._listings[0]
        if isinstance(now, Exception):
            raise now
        return now

    async def sleep(self, seconds: float) -> None:
        self.time += seconds
        self.slept += 1

    async def settled(self, timeout_s: float = 60) -> Listing:
        return await settled(self, timeout_s=timeout_s, clock=lambda: self.time, sleep=self.sleep)


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        (None, listing(1, 1000.0), False),
        (None, listing(1, 998.1), False),
        (None, listing(1, 997.9), True),
        (None, listing(1, None), False),
        (None, listing(1, 5000.0), False),
        (listing(1, 999.9), listing(1, 999.9), True),
        (listing(1, 5000.0), listing(1, 5000.0), True),
        (listing(1, None), listing(1, None), True),
        (listing(1, None), listing(2, None), False),
        (listing(1, 999.0), listing(2, 999.9), False),
        (listing(1, None), listing(1, None, "a", "b"), False),
    ],
)
def test_the_decision(before: Listing | None, now: Listing, expected: bool) -> None:
    """A wrong decision copies half a model, or delays every reload."""
    assert is_settled(before, now, 1000.0) is expected


@pytest.mark.parametrize("newest", [1.0, 999.9, 5000.0, None])
def test_a_ready_file_alone_decides(newest: float | None) -> None:
    """Without it, an old folder is still being written; with it, a fresh one is complete, and nobody waits."""
    missing, there = listing(1, newest, "model"), listing(1, newest, "model", "_SUCCESS")
    assert not is_settled(None, missing, 1000.0, "_SUCCESS")
    assert not is_settled(missing, missing, 1000.0, "_SUCCESS")
    assert is_settled(None, there, 1000.0, "_SUCCESS")
    assert is_settled(missing, there, 1000.0, "_SUCCESS")


async def test_a_ready_file_ends_the_wait_at_once() -> None:
    """Its writer promised that all is there: a second look would only make every reload late."""
    script = Script(listing(1), listing(2), listing(2, None, "_SUCCESS", "model.onnx"), ready_file="_SUCCESS")
    assert (await script.settled()).files[0].name == "_SUCCESS"
    assert script.slept == 2


@given(
    sizes=st.lists(st.integers(0, 3), min_size=1, max_size=8),
    newest=st.none() | st.floats(0, 2000),
)
async def test_what_comes_out_stood_still(sizes: list[int], newest: float | None) -> None:
    """Whatever a writer does, the result is quiet for two seconds or equal to the listing a second before."""
    script = Script(*(listing(size, newest) for size in sizes))
    result = await script.settled()
    seen = [listing(size, newest) for size in sizes] + [listing(sizes[-1], newest)]
    assert result == seen[script.slept]
    old = newest is not None and script.time - newest > 2
    assert old or seen[script.slept] == seen[script.slept - 1]


async def test_a_slow_writer_is_waited_for() -> None:
    """A model that grows each second must not be taken before it stops growing."""
    script = Script(*(listing(size) for size in range(5)))
    assert await script.settled() == listing(4)
    assert script.slept == 5


async def test_the_wait_is_bounded_and_names_what_moves() -> None:
    """A log file in the model's folder would otherwise hold the loader for ever, without a word."""
    script = Script(*(listing(size, None, "model", "log") for size in range(99)))
    with pytest.raises(SourceError, match=r"memory://model: not settled after 5 s: log, model still changed"):
        await script.settled(timeout_s=5)


async def test_a_missing_ready_file_is_named() -> None:
    """An operator who misspelt ReadyFile reads it here."""
    script = Script(listing(1), ready_file="_SUCCESS")
    with pytest.raises(SourceError, match="the ready file _SUCCESS is not there"):
        await script.settled(timeout_s=3)


async def test_a_failing_listing_ends_the_wait() -> None:
    """A vanished folder is the caller's to retry, not ours to hide."""
    with pytest.raises(SourceError, match="gone"):
        await Script(listing(1), SourceError("gone")).settled()


def test_changes_are_few_words() -> None:
    """Ten thousand moved files must not make a log line of a megabyte."""
    many = listing(1, None, *(f"f{n:02}" for n in range(20)))
    assert changes(listing(1, None, "f00"), many) == "f01, f02, f03, f04, f05 and 14 more"
