"""Operators would decide on wrong numbers, or on those of another minute, if these failed."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlserve.observe.meters import Histogram, Level, Period, SharedHistogram, Span, Tally

VALUES = st.lists(st.integers(0, 40).map(float), max_size=30)


@pytest.fixture
def _threads_take_turns_often() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@given(VALUES)
def test_a_histogram_counts_at_or_below_each_bound(values: list[float]) -> None:
    """As Prometheus means ``le``."""
    bounds = (1.0, 5.0, 20.0)
    histogram = Histogram(bounds)
    for value in values:
        histogram.observe(value)
    counts, total = histogram.cumulative()
    assert counts == [sum(value <= bound for value in values) for bound in (*bounds, inf)]
    assert total == sum(values)


@pytest.mark.parametrize("kind", [Histogram, SharedHistogram])
@given(minutes=st.lists(VALUES, min_size=1, max_size=4))
def test_minutes_and_the_whole_tell_apart_what_came_when(kind: type[Histogram], minutes: list[list[float]]) -> None:
    """Every value is in exactly one minute, and in the whole."""
    histogram = kind((1.0, 5.0))
    for index, values in enumerate(minutes):
        if index:
            histogram.roll(gap=False)
        for value in values:
            histogram.observe(value)
    assert histogram.of(Period.CURRENT) == span(minutes[-1])
    assert histogram.of(Period.PREVIOUS) == (span(minutes[-2]) if len(minutes) > 1 else Span())
    assert histogram.of(Period.ALL) == span([value for values in minutes for value in values])


def span(values: list[float]) -> Span:
    return Span(len(values), sum(values), min(values, default=inf), max(values, default=0.0))


def test_after_a_gap_nothing_is_called_recent() -> None:
    """The minute before had no traffic, whatever there was earlier."""
    histogram, tally, level = Histogram((1.0,)), Tally[str](), Level()
    histogram.observe(1.0)
    tally.counts["hit"] += 1
    level.inc(5)
    level.inc(-4)
    for meter in (histogram, tally, level):
        meter.roll(gap=True)
    assert histogram.of(Period.PREVIOUS) == histogram.of(Period.CURRENT) == Span()
    assert tally.of(Period.PREVIOUS) == {}
    assert tally.of(Period.CURRENT) == {"hit": 0}
    assert level.peak(Period.PREVIOUS) == level.peak(Period.CURRENT) == 1
    assert histogram.of(Period.ALL).count == tally.of(Period.ALL)["hit"] == 1
    assert level.peak(Period.ALL) == 5


def test_a_tally_tells_minutes_apart() -> None:
    """Also for keys that came later."""
    tally = Tally[str]()
    tally.counts["a"] += 2
    tally.roll(gap=False)
    tally.counts["a"] += 1
    tally.counts["b"] += 5
    assert tally.of(Period.PREVIOUS) == {"a": 2}
    assert tally.of(Period.CURRENT) == {"a": 1, "b": 5}
    assert tally.of(Period.ALL) == {"a": 3, "b": 5}


def test_a_level_keeps_its_peaks() -> None:
    """What still waits counts in the minute that begins."""
    level = Level()
    level.inc(7)
    level.inc(-5)
    level.roll(gap=False)
    assert (level.value, level.peak(Period.CURRENT)) == (2, 2)
    level.inc(1)
    assert [level.peak(period) for period in (Period.ALL, Period.PREVIOUS, Period.CURRENT)] == [7, 7, 3]


def test_spans_add_up() -> None:
    """A model has requests by several protocols."""
    assert Span() + span([1.0, 4.0]) + span([2.0]) == span([1.0, 2.0, 4.0])


@pytest.mark.usefixtures("_threads_take_turns_often")
def test_threads_lose_nothing() -> None:
    """Runs of one model end in several threads while a minute turns."""
    histogram = SharedHistogram((1.0, 2.0))
    minutes = []

    def work() -> None:
        for _ in range(2000):
            histogram.observe(1.5)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        histogram.roll(gap=False)
        minutes.append(histogram.of(Period.PREVIOUS).count)
    for thread in threads:
        thread.join()
    assert histogram.cumulative() == ([0, 8000, 8000], 12000.0)
    assert sum(minutes) + histogram.of(Period.CURRENT).count == 8000
