"""What was measured along an axis, and whether it grew as it may."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from math import log
from statistics import median

from benchmarks.growth.axis import LINEAR


@dataclass(frozen=True, slots=True)
class Grown:
    """One line: for each count an item a round. ``limit`` is the largest exponent that is well."""

    name: str
    limit: float
    cpu_us: dict[int, list[float]] = field(default_factory=dict)
    per_second: dict[int, list[float]] = field(default_factory=dict)

    def add(self, count: int, cpu_us: float, per_second: float) -> None:
        """What a round found."""
        self.cpu_us.setdefault(count, []).append(cpu_us)
        self.per_second.setdefault(count, []).append(per_second)

    def cost(self, count: int) -> float:
        """Microseconds of processor for an answer, the median of the rounds."""
        return median(self.cpu_us[count])

    def rate(self, count: int) -> float:
        """Answers a second, the median of the rounds."""
        return median(self.per_second[count])

    @property
    def exponent(self) -> float:
        """x, where the cost is as count to the power of x between the first count and the last: 0 is flat, 1 linear."""
        return self._between(min(self.cpu_us), max(self.cpu_us))

    @property
    def steepest(self) -> float:
        """The largest exponent between a count and the next."""
        counts = sorted(self.cpu_us)
        return max(self._between(low, high) for low, high in pairwise(counts))

    @property
    def well(self) -> bool:
        """It grew no more than it may, and nowhere worse than linear."""
        return self.exponent <= self.limit and self.steepest <= LINEAR

    def _between(self, low: int, high: int) -> float:
        return log(self.cost(high) / self.cost(low)) / log(high / low)
