"""Numbers that requests move, and their readers: cheap to write, consistent to read.

prometheus-client's own take a lock and walk over every bucket: a microsecond or two each, a fifth of what a cached
answer costs in all. These are plain numbers written on the event loop, so no lock is needed; only
:class:`SharedHistogram` may be written from threads. Each also remembers where the running minute began, so that a
reader may ask for all, for this minute, or for the one before: whoever owns meters calls :meth:`roll` at each minute.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import accumulate
from math import inf
from threading import Lock
from typing import Generic, Protocol, TypeVar

K = TypeVar("K", bound=Hashable)


class Period(Enum):
    """What a reader asks about."""

    ALL = "since the start"
    CURRENT = "the minute that runs"
    PREVIOUS = "the minute before"


@dataclass(frozen=True, slots=True)
class Span:
    """What a histogram saw in one period. ``low`` is infinite if it saw nothing."""

    count: int = 0
    total: float = 0.0
    low: float = inf
    high: float = 0.0

    def __add__(self, other: Span) -> Span:
        """Both together."""
        return Span(
            self.count + other.count, self.total + other.total, min(self.low, other.low), max(self.high, other.high)
        )


class ByMinute(Protocol):
    """A meter that tells minutes apart."""

    def roll(self, *, gap: bool) -> None:
        """A minute begins. ``gap`` says that what was counted since the last one began is older than a minute."""
        ...


class Counter:
    """One number that only grows."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: float = 0

    def inc(self, by: float = 1) -> None:
        """Called on the event loop."""
        self.value += by


class Tally(Generic[K]):
    """Counts by key, from a closed set of keys. Write ``counts[key] += 1``."""

    __slots__ = ("_base", "_previous", "counts")

    def __init__(self) -> None:
        self.counts: defaultdict[K, int] = defaultdict(int)
        self._base: dict[K, int] = {}
        self._previous: dict[K, int] = {}

    def of(self, period: Period) -> dict[K, int]:
        """The counts of one period; a key without any may be missing."""
        match period:
            case Period.ALL:
                return dict(self.counts)
            case Period.CURRENT:
                return {key: count - self._base.get(key, 0) for key, count in self.counts.items()}
            case Period.PREVIOUS:
                return self._previous

    def roll(self, *, gap: bool) -> None:
        """As :class:`ByMinute` says."""
        self._previous = {} if gap else self.of(Period.CURRENT)
        self._base = dict(self.counts)


class Level:
    """A number that goes up and down, and the highest it has been."""

    __slots__ = ("_before", "_peak", "_previous", "value")

    def __init__(self) -> None:
        self.value = 0
        self._before = self._peak = self._previous = 0

    def inc(self, change: int = 1) -> None:
        """Called on the event loop."""
        self.value += change
        if self.value > self._peak:
            self._peak = self.value

    def peak(self, period: Period) -> int:
        """The highest in one period."""
        match period:
            case Period.ALL:
                return max(self._before, self._peak)
            case Period.CURRENT:
                return self._peak
            case Period.PREVIOUS:
                return self._previous

    def roll(self, *, gap: bool) -> None:
        """As :class:`ByMinute` says."""
        self._before = max(self._before, self._peak)
        self._previous = self.value if gap else self._peak
        self._peak = self.value


class Histogram:
    """How often values fell between bounds, their sum, and the extremes of the running minute."""

    __slots__ = ("_before", "_high", "_low", "_previous", "bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        """``bounds`` ascend; a value equal to a bound counts below it, as in Prometheus."""
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0
        self._low, self._high = inf, 0.0
        self._before = self._previous = Span()

    def observe(self, value: float) -> None:
        """Called on the event loop, with a value of 0 or more."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value
        if value > self._high:
            self._high = value
        if value < self._low:
            self._low = value

    def cumulative(self) -> tuple[list[int], float]:
        """How many values lie at or below each bound, infinity last; and their sum."""
        return list(accumulate(self.counts)), self.total

    def of(self, period: Period) -> Span:
        """What it saw in one period."""
        before = self._before
        match period:
            case Period.ALL:
                return Span(sum(self.counts), self.total, min(before.low, self._low), max(before.high, self._high))
            case Period.CURRENT:
                return Span(sum(self.counts) - before.count, self.total - before.total, self._low, self._high)
            case Period.PREVIOUS:
                return self._previous

    def roll(self, *, gap: bool) -> None:
        """As :class:`ByMinute` says."""
        # By name: a subclass that locks here must not lock again there.
        self._previous = Span() if gap else Histogram.of(self, Period.CURRENT)
        self._before = Histogram.of(self, Period.ALL)
        self._low, self._high = inf, 0.0


class SharedHistogram(Histogram):
    """A histogram that several threads write."""

    __slots__ = ("_lock",)

    def __init__(self, bounds: Sequence[float]) -> None:
        super().__init__(bounds)
        self._lock = Lock()

    def observe(self, value: float) -> None:
        """Called from any thread."""
        with self._lock:
            super().observe(value)

    def cumulative(self) -> tuple[list[int], float]:
        """As of one moment."""
        with self._lock:
            return super().cumulative()

    def of(self, period: Period) -> Span:
        """As of one moment."""
        with self._lock:
            return super().of(period)

    def roll(self, *, gap: bool) -> None:
        """As :class:`ByMinute` says."""
        with self._lock:
            super().roll(gap=gap)
