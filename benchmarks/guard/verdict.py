"""Is it a loss? A pure function of what was recorded and what is measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.guard.baseline import Baseline
from benchmarks.guard.steps import Steps

LOSS: Final = 0.15
"""How much more a request may cost than was recorded."""
LOSS_OF_TIME_ELSEWHERE: Final = 0.5
"""The same for times on another processor than the recorded one, which may weigh our work otherwise than the bare
server's. Steps are the same on all."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One path in one measure, ``steps`` or ``times``: the less the better. ``most`` is the share it may grow by."""

    path: str
    measure: str
    recorded: float
    now: float
    most: float

    @property
    def growth(self) -> float:
        return self.now / self.recorded - 1

    @property
    def lost(self) -> bool:
        return self.growth > self.most

    @property
    def gained(self) -> bool:
        """So much less that a loss from here would go unseen."""
        return self.growth < -self.most


def judge_steps(recorded: Baseline, tries: Sequence[Mapping[str, Steps]]) -> list[Judged]:
    """By the least of all ``tries``: only what each of them shows is a loss."""
    least = {path: min(sum(found[path].values()) for found in tries) for path in tries[0]}
    return [Judged(path, "steps", recorded.paths[path].total, now, LOSS) for path, now in least.items()]


def judge_times(recorded: Baseline, tries: Sequence[Mapping[str, float]], processor: str) -> list[Judged]:
    """As :func:`judge_steps`, of ratios found on ``processor``."""
    most = LOSS if processor == recorded.processor else LOSS_OF_TIME_ELSEWHERE
    least = {path: min(found[path] for found in tries) for path in tries[0]}
    return [Judged(path, "times", recorded.paths[path].ratio, now, most) for path, now in least.items()]
